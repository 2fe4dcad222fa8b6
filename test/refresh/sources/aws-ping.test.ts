import { createServer } from 'node:net';
import t from 'tap';
import { createAwsPing } from '../../../src/refresh/sources/aws-ping.ts';
import { startSandbox } from '../../../src/sandbox/sandbox.ts';
import { PATIENCE_MS } from '../../helpers/patience.ts';

const resolve = async () => ({ kind: 'addresses', addresses: ['127.0.0.1'], ttlSeconds: 60 }) as const;

t.test('any answer of the Region is a sign of life, silence and refusal are none', async (t) => {
  await using sandbox = await startSandbox();
  const ping = createAwsPing({ endpoint: () => sandbox.regionUrl, resolve, isCutOff: () => false });
  t.equal(await ping('us-west-2', AbortSignal.timeout(PATIENCE_MS)), 'answered');
  sandbox.link.set('down');
  t.equal(await ping('us-west-2', AbortSignal.timeout(200)), 'timeout');
  sandbox.link.set('refused');
  t.equal(await ping('us-west-2', AbortSignal.timeout(PATIENCE_MS)), 'network');
});

t.test(
  'the name is asked of the upstreams, and its last address is kept for the time when they are gone',
  async (t) => {
    await using sandbox = await startSandbox();
    const url = new URL(sandbox.regionUrl);
    url.hostname = 'ec2.us-west-2.amazonaws.test';
    let isResolving = false;
    let isCutOff = true;
    const ping = createAwsPing({
      endpoint: () => url.href,
      resolve: async () => (isResolving ? resolve() : { kind: 'failed', reason: 'timeout', detail: '' }),
      isCutOff: () => isCutOff,
    });
    t.equal(
      await ping('us-west-2', AbortSignal.timeout(PATIENCE_MS)),
      'silent',
      'a rehearsal let nobody be asked: no word about the link',
    );
    isCutOff = false;
    t.equal(
      await ping('us-west-2', AbortSignal.timeout(PATIENCE_MS)),
      'network',
      'no address was ever known',
    );
    isResolving = true;
    t.equal(await ping('us-west-2', AbortSignal.timeout(PATIENCE_MS)), 'answered');
    isResolving = false;
    t.equal(await ping('us-west-2', AbortSignal.timeout(PATIENCE_MS)), 'answered');
  },
);

t.test('a portal that takes the connection of HTTPS is no sign of AWS', async (t) => {
  const portal = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n')).listen(0, '127.0.0.1');
  await new Promise((ready) => portal.once('listening', ready));
  const address = portal.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const ping = createAwsPing({ endpoint: () => `https://127.0.0.1:${port}`, resolve, isCutOff: () => false });
  t.equal(await ping('us-west-2', AbortSignal.timeout(PATIENCE_MS)), 'network');
  portal.close();
});

t.test('an endpoint that is no URL is not asked: no evidence', async (t) => {
  const ping = createAwsPing({ endpoint: () => 'nowhere', resolve, isCutOff: () => false });
  t.equal(await ping('us-west-2', AbortSignal.timeout(PATIENCE_MS)), 'silent');
});
