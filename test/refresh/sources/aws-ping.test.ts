import { createServer } from 'node:net';
import t from 'tap';
import { createAwsPing } from '../../../src/refresh/sources/aws-ping.ts';
import { headOf } from '../../../src/refresh/sources/http-head.ts';
import { startSandbox } from '../../../src/sandbox/sandbox.ts';
import { PATIENCE_MS } from '../../helpers/patience.ts';

const resolve = async () => ({ kind: 'addresses', addresses: ['127.0.0.1'], ttlSeconds: 60 }) as const;

t.test('any answer of the Region is a sign of life, silence and refusal are none', async (t) => {
  await using sandbox = await startSandbox();
  const ping = createAwsPing({
    endpoint: () => sandbox.regionUrl,
    resolve,
    isCutOff: () => false,
    head: headOf,
  });
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
      head: headOf,
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
  const ping = createAwsPing({
    endpoint: () => `https://127.0.0.1:${port}`,
    resolve,
    isCutOff: () => false,
    head: headOf,
  });
  t.equal(await ping('us-west-2', AbortSignal.timeout(PATIENCE_MS)), 'network');
  portal.close();
});

t.test(
  'what is not an address or name to be asked over HTTP is no evidence, and nothing is sent',
  async (t) => {
    for (const endpoint of ['nowhere', 'ftp://127.0.0.1']) {
      const head = () => t.fail('asked') as never;
      const ping = createAwsPing({ endpoint: () => endpoint, resolve, isCutOff: () => false, head });
      t.equal(await ping('us-west-2', AbortSignal.timeout(PATIENCE_MS)), 'silent', endpoint);
    }
  },
);

t.test('an address in the URL is asked as it is: no upstream has to know it', async (t) => {
  for (const [endpoint, address] of [
    ['https://192.0.2.1:4566', '192.0.2.1'],
    ['http://[2001:db8::1]', '2001:db8::1'],
  ] as const) {
    const asked: unknown[] = [];
    const ping = createAwsPing({
      endpoint: () => endpoint,
      resolve: () => t.fail('resolved') as never,
      isCutOff: () => true,
      head: async (request) => {
        asked.push(request);
        return 'answered';
      },
    });
    t.equal(await ping('us-west-2', AbortSignal.timeout(PATIENCE_MS)), 'answered');
    t.strictSame(asked, [{ url: `${endpoint}/ping`, address }]);
  }
});
