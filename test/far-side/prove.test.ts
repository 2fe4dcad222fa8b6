import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket, type TlsOptions } from 'node:tls';
import { queryObjects } from 'node:v8';
import t, { type Test } from 'tap';
import { type CheckRequest, Prover } from '../../src/far-side/handshake.ts';
import type { CheckResult } from '../../src/records/endpoint-record.ts';
import { systemTimers } from '../../src/runtime/clock.ts';
import { ConnectProxy } from '../helpers/connect-proxy.ts';
import { PATIENCE_MS, until } from '../helpers/patience.ts';

const NAME = 'abc0123456789.gr7.us-west-2.eks.amazonaws.com';
const fixture = (name: string): string =>
  readFileSync(new URL(`../fixtures/tls/proof/${name}`, import.meta.url), 'utf8');
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const CA = base64(fixture('ca.crt'));

async function listening(t: Test, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function tlsServer(t: Test, certificate: string, options: TlsOptions = {}): Promise<number> {
  const server = createTlsServer({ key: fixture('leaf.key'), cert: certificate, ...options });
  server.on('tlsClientError', () => {});
  return listening(t, server);
}

const prover = (files: Readonly<Record<string, string>> = {}) =>
  new Prover(
    {
      async text(path) {
        const text = files[path];
        if (text === undefined) throw new Error('ENOENT');
        return text;
      },
    },
    systemTimers,
  );

function ask(
  port: number,
  more: Partial<CheckRequest> = {},
  files: Readonly<Record<string, string>> = {},
  signal = AbortSignal.timeout(PATIENCE_MS),
): Promise<CheckResult> {
  const request = {
    address: '127.0.0.1',
    port,
    names: [NAME],
    authorities: { described: CA },
    timeoutMs: 10_000,
  };
  return prover(files).prove({ ...request, ...more }, signal);
}

// the first test: the others have signals with a time limit, which stay until then
t.test('a proof that is over leaves nothing in memory, however it ended', async (t) => {
  const right = await tlsServer(t, fixture('right.crt'));
  const refusing = await tlsServer(t, fixture('other-authority.crt'));
  const silent = await listening(t, createServer());
  const closed = await listening(
    t,
    createServer((socket) => socket.destroy()),
  );
  const { signal } = new AbortController(); // of a caller that outlives its proofs
  const held = () =>
    queryObjects(TLSSocket, { format: 'count' }) + queryObjects(AbortSignal, { format: 'count' });
  for (let turn = 0; turn < 10; turn++) {
    await Promise.all([right, refusing, closed].map((port) => ask(port, {}, {}, signal)));
    await ask(silent, { timeoutMs: 20 }, {}, signal);
  }
  await until('the objects of 40 proofs are gone', () => held() < 15);
});

t.test(
  'a certificate is judged by its signature and its name; the clock of this host only makes a remark',
  async (t) => {
    const ended = base64(fixture('ca-ended.crt'));
    const table: readonly (readonly [certificates: readonly string[], CheckResult, authority?: string])[] = [
      [['right'], { kind: 'proven' }],
      [['ended'], { kind: 'proven', reason: 'expired' }],
      [['future'], { kind: 'proven', reason: 'not-yet-valid' }],
      [['right'], { kind: 'proven', reason: 'expired' }, ended],
      [['of-ended-authority'], { kind: 'proven', reason: 'expired' }, ended],
      [['ended-below', 'between'], { kind: 'proven', reason: 'expired' }],
      [['other-name'], { kind: 'refused', reason: 'other-name' }],
      [['common-name'], { kind: 'refused', reason: 'other-name' }],
      [['self-signed'], { kind: 'refused', reason: 'other-authority' }],
      [['other-authority'], { kind: 'refused', reason: 'other-authority' }],
      // OpenSSL names the time alone, and hides that the signature is wrong
      [['other-authority-ended'], { kind: 'refused', reason: 'other-authority' }],
      [['ended-below'], { kind: 'refused', reason: 'other-authority' }],
      [['below-leaf', 'ended'], { kind: 'refused', reason: 'other-authority' }],
      [['ended-client'], { kind: 'refused', reason: 'other-authority' }],
    ];
    for (const [certificates, expected, authority = CA] of table) {
      const chain = certificates.map((name) => fixture(`${name}.crt`)).join('');
      const outcome = await ask(await tlsServer(t, chain), { authorities: { described: authority } });
      const against = authority === CA ? '' : ', authority ended';
      t.strictSame(outcome, expected, `${certificates.join(' below ')}${against}`);
    }
  },
);

t.test('the first name is sent as SNI, and a certificate for any of the names is right', async (t) => {
  const asked: string[] = [];
  const port = await tlsServer(t, fixture('right.crt'), {
    SNICallback: (name, done) => {
      asked.push(name);
      done(null);
    },
  });
  t.strictSame(await ask(port, { names: ['api.site.example', NAME] }), { kind: 'proven' });
  t.strictSame(await ask(port, { names: ['api.site.example'] }), { kind: 'refused', reason: 'other-name' });
  t.strictSame(asked, ['api.site.example', 'api.site.example']);
});

t.test('every authority that is known counts: described, in a file, in a kubeconfig', async (t) => {
  const port = await tlsServer(t, fixture('right.crt'));
  const other = base64(fixture('self-signed.crt'));
  const ca = fixture('ca.crt');
  const kubeconfig = JSON.stringify({
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    clusters: [{ name: 'k', cluster: { server: 'https://x', 'certificate-authority-data': CA } }],
    users: [{ name: 'u', user: { token: 't' } }],
  });
  const files = { '/ca': ca, '/bad': 'no certificate', '/kubeconfig': kubeconfig };
  const known: readonly (readonly [what: string, CheckRequest['authorities']])[] = [
    ['a file beside an old description', { described: other, file: '/ca' }],
    ['a kubeconfig', { access: { kind: 'kubeconfig', kubeconfig: '/kubeconfig' } }],
    [
      'the file of a client certificate',
      { access: { kind: 'certificate', certificate: '', key: '', ca: '/ca' } },
    ],
    ['a file that cannot be read, beside the description', { described: CA, file: '/none' }],
    [
      'garbage before the right one',
      { described: base64(`-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n${ca}`) },
    ],
  ];
  for (const [what, authorities] of known)
    t.strictSame(await ask(port, { authorities }, files), { kind: 'proven' }, what);
  const unknown: readonly (readonly [what: string, CheckRequest['authorities']])[] = [
    ['none', {}],
    ['a file that is not there', { file: '/none' }],
    ['a file of something else', { file: '/bad', described: 'LS0tLS1CRUdJTg==' }],
  ];
  for (const [what, authorities] of unknown)
    t.strictSame(await ask(port, { authorities }, files), { kind: 'untried', reason: 'no-authority' }, what);
});

t.test('what answers without TLS is refused, and what does not answer is silent', async (t) => {
  const says = (text: string) =>
    listening(
      t,
      createServer((socket) => socket.write(text)),
    );
  t.strictSame(await ask(await says('SSH-2.0-OpenSSH_9.6\r\n')), { kind: 'refused', reason: 'no-tls' });
  t.strictSame(await ask(await says('HTTP/1.1 400 Bad Request\r\n\r\n')), {
    kind: 'refused',
    reason: 'no-tls',
  });
  const alert = await tlsServer(t, fixture('right.crt'), {
    SNICallback: (_, done) => done(new Error('no such name')),
  });
  t.match(await ask(alert), { kind: /^(refused|silent)$/ });
  const closing = await listening(
    t,
    createServer((socket) => socket.end()),
  );
  t.strictSame(await ask(closing), { kind: 'silent', reason: 'network' });
  const dumb = await listening(
    t,
    createServer(() => {}),
  );
  t.strictSame(await ask(dumb, { timeoutMs: 100 }), { kind: 'silent', reason: 'timeout' });
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  t.strictSame(await ask(port), { kind: 'silent', reason: 'network' });
  const silent = { kind: 'silent', reason: 'network' } as const;
  t.strictSame(await ask(port, { authorities: {} }), silent, 'without an authority too');
});

t.test('an API server that asks for a client certificate is proven without one', async (t) => {
  const options = { requestCert: true, rejectUnauthorized: true, ca: fixture('ca.crt') };
  t.strictSame(await ask(await tlsServer(t, fixture('right.crt'), options)), { kind: 'proven' });
});

t.test('the connection ends by itself', async (t) => {
  const server = createTlsServer({ key: fixture('leaf.key'), cert: fixture('right.crt') });
  const port = await listening(t, server);
  const ended = once(server, 'secureConnection').then(([socket]) => {
    socket.resume();
    return once(socket, 'close');
  });
  t.strictSame(await ask(port), { kind: 'proven' });
  await ended;
});

t.test('through a proxy, which sees the address; a proxy that misbehaves is silence', async (t) => {
  const port = await tlsServer(t, fixture('right.crt'));
  await using proxy = await ConnectProxy.start({ target: { host: '127.0.0.1', port } });
  const through = { address: '10.0.1.10', proxy: { address: '127.0.0.1', port: proxy.port } };
  t.strictSame(await ask(443, through), { kind: 'proven' });
  t.strictSame(proxy.asked, ['10.0.1.10:443']);
  for (const manner of [502, 407, 'drop', 'reset', 'babble', 'drop-tunnel'] as const) {
    proxy.manner = manner;
    t.match(await ask(443, through), { kind: /^(silent)$/, reason: 'network' }, String(manner));
  }
  for (const manner of ['hang', 'half'] as const) {
    proxy.manner = manner;
    t.strictSame(
      await ask(443, { ...through, timeoutMs: 200 }),
      { kind: 'silent', reason: 'timeout' },
      manner,
    );
  }
});

t.test('handshakes beyond a bound wait for their turn, and an aborted one ends soon', async (t) => {
  let most = 0;
  let open = 0;
  const port = await listening(
    t,
    createServer((socket) => {
      most = Math.max(most, ++open);
      socket.on('close', () => open--);
    }),
  );
  const many = prover();
  const abort = new AbortController();
  const request = {
    address: '127.0.0.1',
    port,
    names: [NAME],
    authorities: { described: CA },
    timeoutMs: 60_000,
  };
  const outcomes = Array.from({ length: 100 }, () => many.prove(request, abort.signal));
  await new Promise((resolve) => setTimeout(resolve, 300));
  abort.abort();
  for (const outcome of await Promise.all(outcomes))
    t.strictSame(outcome, { kind: 'untried', reason: 'not-asked' });
  t.ok(most <= 32, `${most} at once`);
});
