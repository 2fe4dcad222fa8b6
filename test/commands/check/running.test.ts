import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { durabilityFindings } from '../../../src/commands/check/host.ts';
import {
  addressFindings,
  againstFindings,
  behindFindings,
  serverFindings,
  writerFindings,
} from '../../../src/commands/check/running.ts';
import type { Site } from '../../../src/commands/check/site.ts';
import { DEMO, ENDPOINT, running, site, status } from './site-parts.ts';

const served = (addresses: readonly object[], more: object = {}) => ({
  cluster: 'demo',
  region: 'us-west-2',
  endpoint: ENDPOINT,
  addresses,
  ...more,
});

t.test('a second server: unreachable, other addresses, older, another version', async (t) => {
  let body: object = status();
  const http = createServer((_, response) => response.end(JSON.stringify(body))).listen(0, '127.0.0.1');
  await once(http, 'listening');
  t.teardown(() => http.close());
  const { port } = http.address() as AddressInfo;
  const ours = running({
    endpoints: [
      served(
        DEMO.map((address) => ({ address })),
        { confirmedAgeSeconds: 60 },
      ),
    ],
  });
  const one = { ...(await site(t)), server: ours };
  const against = (at = port) => againstFindings(one, { address: '127.0.0.1', port: at });
  t.match(await against(), [{ code: 'second-server-differs', text: /does not know/ }]);
  body = status({ endpoints: [served([{ address: '10.0.1.10' }], { confirmedAgeSeconds: 4_000 })] });
  t.match(await against(), [
    { code: 'second-server-differs', text: /answers 10\.0\.1\.10 for/ },
    { code: 'second-server-older', text: /confirmed .* 67 min ago, this one 60 s ago/ },
  ]);
  body = status({ server: { version: '0.0.1', ready: true, listening: [] }, endpoints: ours.endpoints });
  t.match(await against(), [
    { code: 'second-server-version', text: /has version 0\.0\.1, this one has 9\.9\.9/ },
  ]);
  t.match(await against(9), [{ code: 'second-server-unreachable', severity: 'problem' }]);
});

t.test('addresses: refused, not proven, dead; a pin is not judged', async (t) => {
  const one = await site(t);
  const checked = (addresses: readonly object[], withheld: readonly object[] = []) =>
    addressFindings({ ...one, server: running({ endpoints: [served(addresses, { withheld })] }) });
  t.strictSame(checked([{ address: '10.0.1.10', proof: { state: 'proven' } }, { address: '10.0.2.10' }]), []);
  const refused = { address: '10.0.1.10', proof: { state: 'refused', reason: 'other-authority' } };
  t.match(checked([refused]), [
    { code: 'address-refused', severity: 'problem', text: /\(other-authority\)/ },
  ]);
  t.match(checked([], [refused]), [{ code: 'address-refused', severity: 'warning', text: /not served/ }]);
  t.match(checked([{ address: '10.0.1.10', proof: { state: 'unproven', reason: 'no-authority' } }]), [
    { code: 'address-not-proven', fix: /DescribeCluster/ },
  ]);
  t.match(checked([{ address: '10.0.1.10', isDead: true }]), [
    { code: 'address-dead', severity: 'warning', fix: /curl -k https:\/\/10\.0\.1\.10\/healthz;/ },
  ]);
});

t.test('state: on tmpfs, behind the running server, written by another', async (t) => {
  const one = await site(t);
  t.strictSame(await durabilityFindings(one, async () => 0xef53), []);
  t.match(await durabilityFindings(one, async () => 0x01021994), [
    { code: 'state-not-durable', severity: 'problem', text: /is on tmpfs: it is empty after a restart/ },
  ]);
  t.match(await durabilityFindings(one, async () => 0x794c7630), [
    { severity: 'warning', text: /overlay/, fix: /--volume/ },
  ]);
  t.strictSame(await durabilityFindings({ ...one, isSandbox: true }, async () => 0x01021994), []);
  const serving = (addresses: readonly string[]): Site => ({
    ...one,
    server: running({ endpoints: [] }),
    endpoints: one.endpoints.map((endpoint) => ({ ...endpoint, addresses })),
  });
  t.strictSame(behindFindings(serving(DEMO)), []);
  t.match(behindFindings(serving(['10.0.1.11'])), [
    { code: 'state-behind-server', text: /serves 10\.0\.1\.11 for/ },
  ]);
  const taken = {
    ...one,
    server: running({ state: { directory: '/s', isOurs: false, faults: ['held by 7'] } }),
  };
  t.match(writerFindings(taken), [{ code: 'state-other-writer', text: /held by 7/ }]);
});

t.test(
  'what the running server says of itself counts, although this user may read more than it',
  async () => {
    t.strictSame(serverFindings({ server: undefined, endpoints: [] }), []);
    t.strictSame(serverFindings({ server: running({}), endpoints: [] }), []);
    const troubled = running({
      server: {
        version: '9.9.9',
        ready: false,
        notReady: ['cluster "demo": its endpoint name is not known yet'],
        listening: [],
      },
      queries: { unsent: { reason: 'EPERM', times: 7, latestAgoSeconds: 1 } },
      state: {
        directory: '/s',
        isOurs: true,
        failure: 'EACCES: permission denied',
        faults: ['/s/endpoints.json: written by a later version: format 99'],
      },
    });
    t.match(serverFindings({ server: troubled, endpoints: [] }), [
      {
        code: 'server-not-ready',
        severity: 'problem',
        text: /cluster "demo": its endpoint name is not known/,
        fix: /"outpost-dns pin", with the name in clusters\[\]\.endpoint/,
      },
      { code: 'replies-not-sent', severity: 'problem', text: /^7 replies of .* could not be sent: EPERM/ },
      { code: 'state-not-saved', severity: 'problem', text: /cannot save the endpoints: EACCES/ },
      { code: 'server-faults', severity: 'warning', text: /written by a later version/ },
    ]);
    const { endpoints } = await site(t);
    t.strictSame(serverFindings({ server: running({ endpoints: [served([])] }), endpoints }), []);
    t.match(serverFindings({ server: running({ endpoints: [] }), endpoints }), [
      { code: 'configuration-not-loaded', severity: 'problem', text: /does not know cluster "demo"/ },
    ]);
  },
);
