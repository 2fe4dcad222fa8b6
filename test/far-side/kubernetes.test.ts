/** The Kubernetes source against simulated API servers, over TLS on loopback. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import t from 'tap';
import type { KubernetesAccess } from '../../src/far-side/kubernetes/identity.ts';
import { API_NAME, ApiServers, fileOf, json, pem, slice } from './api-server.ts';
import { A, B, byCertificate, C, D, fails, pollServers, sees, three } from './kubernetes-polls.ts';

t.test('the ready IPv4 addresses of the slices, asked for under the name of the endpoint', async (t) => {
  await using servers = await three();
  servers.slices = [
    slice([C]),
    slice([], {
      endpoints: [
        { addresses: [A], conditions: { ready: null } },
        { addresses: [B, '10.9.9.9'] },
        { addresses: [B], conditions: { ready: true, serving: true } },
        { addresses: ['10.9.9.4'], conditions: { ready: false, serving: true, terminating: true } },
      ],
      ports: [{ port: 443 }],
    }),
    slice(['fd00::1'], { addressType: 'IPv6' }),
    slice(['api.example'], { addressType: 'FQDN' }),
    slice(['10.9.9.1'], { ports: [{ name: 'metrics', port: 9100 }] }),
    slice(['10.9.9.2'], { ports: null }),
    slice([], { endpoints: null }),
    slice([D], { ports: [{ name: 'https', port: 6443 }] }),
  ];
  t.strictSame(await pollServers(servers), sees(A, B, C, D));
  t.equal(servers.asked.length, 1);
  t.match(servers.asked[0], { at: A, serverName: API_NAME, authorization: undefined });
});

t.test('a list in pages is read to its end, and never reported in part', async (t) => {
  await using servers = await three();
  servers.slices = [slice([A]), slice([B]), slice([C])];
  servers.itemsPerPage = 1;
  t.strictSame(await pollServers(servers), sees(A, B, C));
  t.equal(servers.asked.length, 3);
  servers.faults.set(A, (request, response) => {
    if (request.url?.includes('continue=')) response.destroy();
    else json(response, { kind: 'EndpointSliceList', metadata: { continue: '1' }, items: [slice([A])] });
  });
  t.match(await pollServers(servers), fails('network', /ECONNRESET/));
  servers.faults.set(A, (_, response) =>
    json(response, { kind: 'EndpointSliceList', metadata: { continue: 'again' }, items: [slice([A])] }),
  );
  t.match(await pollServers(servers), fails('malformed', /page token came twice/));
});

t.test('Endpoints are read where EndpointSlices are not to be had', async (t) => {
  await using servers = await three();
  servers.endpoints = {
    kind: 'Endpoints',
    subsets: [
      {
        addresses: [{ ip: A }, { ip: B }],
        notReadyAddresses: [{ ip: C }],
        ports: [{ name: 'https', port: 443 }],
      },
      { addresses: [{ ip: '10.9.9.9' }], ports: [{ name: 'metrics', port: 9100 }] },
      { addresses: null, ports: [{ port: 443 }] },
      { addresses: [{ ip: 'fd00::1' }], ports: [{ port: 443 }] },
    ],
  };
  for (const refused of [403, 404]) {
    servers.slicesStatus = refused;
    t.strictSame(await pollServers(servers), sees(A, B), String(refused));
  }
  servers.endpointsStatus = 403;
  t.match(await pollServers(servers), fails('denied', /answered 403: the user may not list endpointslices/));
  servers.endpointsStatus = 404;
  t.match(await pollServers(servers), fails('not-found', /answered 404/));
});

t.test('known addresses are asked in turn, until one answers', async (t) => {
  await using servers = await three();
  const known = { knownAddresses: [D, A, B, C] };
  t.strictSame(await pollServers(servers, { known }), sees(A, B, C), 'D refuses connections');
  servers.faults.set(A, (_, response) => {
    response.statusCode = 500;
    response.end('no');
  });
  servers.faults.set(B, (_, response) => {
    response.end('<html>not an api</html>');
  });
  t.strictSame(await pollServers(servers, { known }), sees(A, B, C));
  servers.faults.set(C, (request) => request.socket.destroy());
  t.match(
    await pollServers(servers, { known }),
    fails('service-error', /127\.0\.0\.4 failed: ECONNREFUSED;.*answered 500/),
  );
  t.match(await pollServers(servers, { known: { knownAddresses: [D] } }), fails('network', /ECONNREFUSED/));
});

t.test('a refusal is final: no other server of the cluster thinks otherwise', async (t) => {
  await using servers = await three();
  servers.accepts = () => false;
  t.match(
    await pollServers(servers, { known: { knownAddresses: [A, B, C] } }),
    fails('denied', /certificate is not accepted/),
  );
  t.equal(servers.asked.length, 1);
});

t.test('a view is believed only from a server that is in it', async (t) => {
  await using servers = await three();
  const known = { knownAddresses: [A, B] };
  servers.slices = [slice([B, C])];
  t.strictSame(await pollServers(servers, { known }), sees(B, C), 'A is about to go, and B says the same');
  servers.views.set(B, [slice([A, C])]);
  t.match(
    await pollServers(servers, { known }),
    fails('malformed', /127\.0\.0\.2 lists 127\.0\.0\.1, 127\.0\.0\.3, and not/),
  );
  servers.views.clear();
  servers.slices = [slice(['172.16.0.1', '172.16.0.2'])];
  t.match(
    await pollServers(servers, { known }),
    fails('malformed', /172\.16\.0\.1, 172\.16\.0\.2, and not itself/),
  );
});

t.test('no ready address is empty, and a hundred of them are not believed', async (t) => {
  await using servers = await three();
  servers.slices = [];
  t.match(await pollServers(servers), fails('empty', /lists no address that is ready/));
  servers.slices = [slice([A, ...Array.from({ length: 100 }, (_, at) => `10.0.0.${at}`)])];
  t.match(await pollServers(servers), fails('malformed', /101 addresses/));
});

t.test('answers that are none: each is malformed, and said so in short', async (t) => {
  await using servers = await three();
  const cases: readonly [body: string, detail: RegExp][] = [
    ['', /EndpointSlices failed: the answer is not/],
    ['null', /the answer is not/],
    ['[]', /the answer is not/],
    ['{"kind":"Status"}', /kind is not/],
    ['{"kind":"EndpointSliceList","items":{}}', /items is not/],
    [
      '{"kind":"EndpointSliceList","items":[{"addressType":"IPv4","endpoints":[{"addresses":[]}]}]}',
      /addresses is not/,
    ],
    [
      JSON.stringify({ kind: 'EndpointSliceList', items: [slice(['10.0.0.300'])] }),
      /"10\.0\.0\.300" is not an IPv4/,
    ],
    [`{"kind":"EndpointSliceList","items":[],"x":"${'x'.repeat(1_100_000)}"}`, /more than 1048576 octets/],
  ];
  for (const [body, detail] of cases) {
    servers.faults.set(A, (_, response) => void response.end(body));
    t.match(await pollServers(servers), fails('malformed', detail), body.slice(0, 60));
  }
});

t.test('statuses of the API in the words of the refresh journey', async (t) => {
  await using servers = await three();
  const cases: readonly [number, string][] = [
    [401, 'denied'],
    [429, 'throttled'],
    [400, 'internal'],
    [410, 'internal'],
    [302, 'internal'],
    [500, 'service-error'],
    [503, 'service-error'],
  ];
  for (const [code, reason] of cases) {
    servers.slicesStatus = code;
    t.match(await pollServers(servers), fails(reason, new RegExp(`answered ${code}`)), String(code));
  }
});

t.test('TLS: the name, the authority and the client certificate are what they have to be', async (t) => {
  await using servers = await three();
  t.match(
    await pollServers(servers, { known: { endpoint: 'other.example' } }),
    fails('untrusted-certificate', /ERR_TLS_CERT_ALTNAME_INVALID/),
    'another name',
  );
  const other = new URL('../fixtures/tls/dns.test.crt', import.meta.url).pathname;
  t.match(
    await pollServers(servers, { access: { ...byCertificate, ca: other } }),
    fails('untrusted-certificate', /certificate is refused.*another certificate authority/),
    'another authority',
  );
  servers.accepts = () => false;
  t.match(
    await pollServers(servers, { access: { ...byCertificate, certificate: fileOf('client-expired.crt') } }),
    fails('expired-credentials', /ended at 2021-01-01T00:00:00.000Z/),
    'a client certificate that has ended',
  );
  t.equal(servers.asked.length, 1, 'nothing was sent to anybody else');
  await using strict = await ApiServers.start([A], { refuse: true });
  const expired = { ...byCertificate, certificate: fileOf('client-expired.crt') };
  const refused = await pollServers(strict, { access: expired });
  // whether the alert is read before the connection is reset is a race within TLS 1.3
  const reasons = ['network', 'denied', 'expired-credentials'];
  t.ok(refused.kind === 'failed' && reasons.includes(refused.reason), 'refused within TLS');
});

t.test('the certificate authority is that of DescribeCluster, where no file is named', async (t) => {
  await using servers = await three();
  const access: KubernetesAccess = {
    kind: 'certificate',
    certificate: fileOf('client.crt'),
    key: fileOf('client.key'),
  };
  const certificateAuthority = Buffer.from(pem.ca).toString('base64');
  t.strictSame(await pollServers(servers, { access, known: { certificateAuthority } }), sees(A, B, C));
  const other = readFileSync(new URL('../fixtures/tls/dns.test.crt', import.meta.url));
  const known = { certificateAuthority: other.toString('base64') };
  t.strictSame(await pollServers(servers, { known }), sees(A, B, C), 'and a file that is named wins over it');
  t.match(
    await pollServers(servers, { access }),
    fails('no-credentials', /authority of the cluster is not known/),
  );
  t.match(
    await pollServers(servers, { access, known: { certificateAuthority: 'bm9uZQ==' } }),
    fails('no-credentials', /certificate authority cannot be used/),
    'an authority that is none',
  );
});

t.test('silence, a drip and an abort: every poll ends', async (t) => {
  await using servers = await three();
  const connections = new Set<{ destroy(): void }>();
  const silent = createServer((socket) => void connections.add(socket));
  silent.listen(0, D);
  await once(silent, 'listening');
  t.teardown(() => {
    for (const connection of connections) connection.destroy();
    silent.close();
  });
  // the assertion: it listens on TCP, so its address is no path
  const { port } = silent.address() as { port: number };
  const signal = AbortSignal.timeout(150);
  t.match(
    await pollServers(servers, { port, known: { knownAddresses: [D, D] }, signal }),
    fails('timeout', /within the deadline/),
    'a server that never speaks',
  );
  servers.faults.set(A, (_, response) => {
    const drip = setInterval(() => response.write(' '), 20);
    response.once('close', () => clearInterval(drip));
  });
  t.match(
    await pollServers(servers, { signal: AbortSignal.timeout(150) }),
    fails('timeout', /within/),
    'a drip',
  );
  t.match(
    await pollServers(servers, { signal: AbortSignal.abort() }),
    fails('timeout', /deadline/),
    'aborted before',
  );
});

t.test('a server that never speaks is given up for the next one', async (t) => {
  await using servers = await three();
  servers.faults.set(A, () => {});
  t.strictSame(await pollServers(servers, { known: { knownAddresses: [A, B] } }), sees(A, B, C));
  t.strictSame(
    servers.asked.map(({ at }) => at),
    [A, B],
  );
});

t.test('no server to ask, or no identity to ask with', async (t) => {
  await using servers = await three();
  t.match(await pollServers(servers, { known: { knownAddresses: [] } }), fails('internal', /not known yet/));
  t.match(
    await pollServers(servers, { access: undefined }),
    fails('no-credentials', /no kubeconfig and no certificate/),
  );
  t.equal(servers.asked.length, 0);
});
