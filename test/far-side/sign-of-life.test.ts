import { createServer } from 'node:net';
import t from 'tap';
import { startSandbox } from '../../sandbox/sandbox.ts';
import type { HeadOutcome } from '../../src/far-side/head.ts';
import { DIRECT } from '../../src/far-side/outbound.ts';
import { createSignOfLife, type SignOfLifeOptions } from '../../src/refresh/link-probe.ts';
import { systemTimers } from '../../src/runtime/clock.ts';
import { PATIENCE_MS } from '../helpers/patience.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { headHere } from './region.ts';

const resolve = async () => ({ kind: 'addresses', addresses: ['127.0.0.1'], ttlSeconds: 60 }) as const;
const soon = () => AbortSignal.timeout(PATIENCE_MS);

/** One sign of life, as the link's probe asks for it. */
function pingOf(more: Partial<SignOfLifeOptions> & { readonly url?: string }) {
  const { url = '', ...options } = more;
  const place = { service: 'ec2', region: 'us-west-2', profile: 'site' } as const;
  const { asked, ready, ping } = createSignOfLife({
    services: () => [place],
    isReady: async () => true,
    outbound: DIRECT,
    resolve,
    isDrilled: () => false,
    head: (request, signal) => headHere(request, DIRECT, signal),
    timers: systemTimers,
    ...options,
  });
  asked(place, url);
  return async (signal = soon()): Promise<HeadOutcome | 'not ready'> =>
    (await ready('us-west-2', signal)) ? ping('us-west-2', signal) : 'not ready';
}

t.test('any answer of the Region is a sign of life, silence and refusal are none', async (t) => {
  await using sandbox = await startSandbox();
  const ping = pingOf({ url: sandbox.regionUrl });
  t.equal(await ping(), 'answered');
  sandbox.link.set('down');
  t.equal(await ping(AbortSignal.timeout(200)), 'timeout');
  sandbox.link.set('refused');
  t.equal(await ping(), 'network');
});

t.test(
  'the name is asked of the upstreams, and its last address is kept for the time when they are gone',
  async (t) => {
    await using sandbox = await startSandbox();
    const url = new URL(sandbox.regionUrl);
    url.hostname = 'ec2.us-west-2.amazonaws.test';
    let isResolving = false;
    let isDrilled = true;
    const ping = pingOf({
      url: url.href,
      resolve: async () => (isResolving ? resolve() : { kind: 'failed', reason: 'timeout', detail: '' }),
      isDrilled: () => isDrilled,
    });
    t.equal(await ping(), 'silent', 'in a drill no upstream is asked: no evidence about the link');
    isDrilled = false;
    t.equal(await ping(), 'network', 'no address was ever known');
    isResolving = true;
    t.equal(await ping(), 'answered');
    isResolving = false;
    t.equal(await ping(), 'answered');
  },
);

t.test('a portal that takes the connection of HTTPS is no sign of AWS, and no cut', async (t) => {
  const portal = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n')).listen(0, '127.0.0.1');
  await new Promise((ready) => portal.once('listening', ready));
  const address = portal.address();
  const port = typeof address === 'object' ? address?.port : 0;
  t.equal(await pingOf({ url: `https://127.0.0.1:${port}` })(), 'proxy');
  portal.close();
});

t.test('a URL that is not of HTTP is not asked, nor is anything before a URL is known', async (t) => {
  const head = () => t.fail('asked') as never;
  for (const url of ['nowhere', 'ftp://127.0.0.1', '']) {
    t.equal(await pingOf({ url, head })(), 'not ready', url);
  }
  const url = 'https://ec2.us-west-2.amazonaws.com';
  t.equal(await pingOf({ url, isReady: async () => false, head })(), 'not ready', 'no thread that could ask');
  const isReady = () => t.fail('asked for') as never;
  t.equal(await pingOf({ isReady, head })(), 'not ready', 'no thread is started for nothing');
  t.equal(await pingOf({ services: () => [], head })(), 'not ready');
});

t.test('a thread that is replaced while the name is looked up says nothing about the link', async (t) => {
  const time = new VirtualTime();
  let isLoading = false;
  let heads = 0;
  const ping = pingOf({
    url: 'https://ec2.us-west-2.amazonaws.test',
    timers: time,
    isReady: async () => {
      if (isLoading) await new Promise<void>((loaded) => time.after(5_000, loaded));
      return true;
    },
    resolve: () => {
      isLoading = heads === 1;
      return resolve();
    },
    head: async () => {
      heads++;
      return 'answered';
    },
  });
  t.equal(await ping(), 'answered');
  const asked = ping();
  await time.advance(899);
  t.equal(await asked, 'silent', 'before the silence counts as a missing answer');
  t.equal(heads, 1, 'nothing was sent');
});

t.test('an address in the URL is asked as it is, below the path of the endpoint', async (t) => {
  for (const [url, asked, address] of [
    ['https://192.0.2.1:4566', 'https://192.0.2.1:4566/ping', '192.0.2.1'],
    ['http://[2001:db8::1]/', 'http://[2001:db8::1]/ping', '2001:db8::1'],
    ['https://192.0.2.1/aws/ec2/', 'https://192.0.2.1/aws/ec2/ping', '192.0.2.1'],
  ] as const) {
    const seen: unknown[] = [];
    const ping = pingOf({
      url,
      resolve: () => t.fail('resolved') as never,
      isDrilled: () => true,
      head: async (request) => {
        seen.push(request);
        return 'answered';
      },
    });
    t.equal(await ping(), 'answered');
    t.strictSame(seen, [{ url: asked, address, profile: 'site' }]);
  }
});

t.test(
  'with a proxy its own name is resolved, and one that the upstreams do not know is left to the system',
  async (t) => {
    for (const [proxy, noProxy, resolved, dialled] of [
      ['http://proxy.example:3128', [], 'proxy.example', '127.0.0.1'],
      ['http://10.0.0.5:3128', [], undefined, '10.0.0.5'],
      ['http://[2001:db8::5]:3128', [], undefined, '2001:db8::5'],
      ['http://unknown.example:3128', [], 'unknown.example', undefined],
      ['http://proxy.example:3128', ['amazonaws.com'], 'ec2.us-west-2.amazonaws.com', '127.0.0.1'],
    ] as const) {
      const names: string[] = [];
      const seen: unknown[] = [];
      const ping = pingOf({
        url: 'https://ec2.us-west-2.amazonaws.com',
        outbound: { httpsProxy: proxy, noProxy },
        resolve: async (name) => {
          names.push(name);
          return name === 'unknown.example' ? { kind: 'no-addresses', rcode: 3 } : resolve();
        },
        head: async (request) => {
          seen.push(request);
          return 'answered';
        },
      });
      t.equal(await ping(), 'answered', proxy);
      t.strictSame(names, resolved === undefined ? [] : [resolved], proxy);
      t.strictSame(
        seen,
        [{ url: 'https://ec2.us-west-2.amazonaws.com/ping', address: dialled, profile: 'site' }],
        proxy,
      );
    }
  },
);

t.test(
  'each service that the sources use may give the sign; the one that answered is asked first',
  async (t) => {
    const time = new VirtualTime();
    const asked: string[] = [];
    const outcomes: Record<string, HeadOutcome | 'hangs'> = {};
    const places = (['ec2', 'eks'] as const).map((service) => ({ service, region: 'us-west-2' }));
    const life = createSignOfLife({
      services: () => places,
      isReady: async () => true,
      outbound: DIRECT,
      resolve,
      isDrilled: () => false,
      head: ({ url }, signal) => {
        const service = new URL(url).hostname.split('.')[0] ?? '';
        asked.push(service);
        const outcome = outcomes[service] ?? 'answered';
        if (outcome !== 'hangs') return Promise.resolve(outcome);
        return new Promise((settle) => signal.addEventListener('abort', () => settle('timeout')));
      },
      timers: time,
    });
    for (const place of places) life.asked(place, `https://${place.service}.test`);
    async function sign(ms = 1_000): Promise<HeadOutcome> {
      asked.length = 0;
      const enough = new AbortController();
      await life.ready('us-west-2', enough.signal);
      const outcome = life.ping('us-west-2', enough.signal);
      await time.advance(ms);
      enough.abort();
      return outcome;
    }
    t.equal(await sign(), 'answered');
    t.strictSame(asked, ['ec2'], 'one answer is enough');
    outcomes['ec2'] = 'hangs';
    t.equal(await sign(), 'answered', 'a closed endpoint of EC2 is no cut');
    t.strictSame(asked, ['ec2', 'eks']);
    t.equal(await sign(0), 'answered');
    t.strictSame(asked, ['eks'], 'the one that answered comes first');
    outcomes['eks'] = 'network';
    t.equal(await sign(), 'network');
    outcomes['ec2'] = 'proxy';
    t.equal(await sign(), 'proxy', 'the outcome that says the most');
    outcomes['eks'] = outcomes['ec2'] = 'hangs';
    t.equal(await sign(), 'timeout');
    t.equal(time.pendingTimers, 0);
  },
);
