/** Files of earlier versions load whole and without a fault. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import { RETAINED } from '../../src/store/retained-format.ts';
import { storeOf } from './store-setup.ts';

const fixtures = join(import.meta.dirname, '..', 'fixtures', 'state');

function copyOf(t: Test, version: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'outpost-dns-earlier-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  cpSync(join(fixtures, version), directory, { recursive: true });
  return directory;
}

t.test('version 1: the endpoint with its addresses, times and details', async (t) => {
  const directory = copyOf(t, 'version-1');
  const store = storeOf(ENDPOINTS, directory);
  const loaded = await store.load();
  t.match(loaded, { kind: 'loaded', from: 'current', generation: 4, faults: { length: 0 } });
  if (loaded.kind !== 'loaded') return;
  const seen = {
    dns: {
      firstSeenMs: Date.parse('2026-11-26T22:22:15.093Z'),
      lastSeenMs: Date.parse('2026-11-26T22:22:23.780Z'),
    },
    interfaces: {
      firstSeenMs: Date.parse('2026-11-26T22:22:15.130Z'),
      lastSeenMs: Date.parse('2026-11-26T22:22:24.023Z'),
    },
  };
  t.match(loaded.content, [
    {
      cluster: 'demo',
      region: 'us-west-2',
      endpoint: '5e9d0f3c7a1b4286b0d4c8e2f6a19753.gr7.us-west-2.eks.amazonaws.com',
      basis: 'name',
      ttlSeconds: 60,
      lastRefreshFailed: false,
      addresses: ['10.0.1.10', '10.0.2.10', '10.0.3.10'].map((address) => ({ address, provenance: seen })),
      confirmedAtMs: { dns: seen.dns.lastSeenMs, interfaces: seen.interfaces.lastSeenMs },
      details: { vpcId: 'vpc-0d1a2b3c4d5e6f708', generation: 'instance-store', subnetIds: { length: 2 } },
    },
  ]);
  t.equal((await store.save(loaded.content)).kind, 'unchanged', 'and it need not be written again');
  t.ok(
    readFileSync(join(directory, 'endpoints.json')).equals(
      readFileSync(join(fixtures, 'version-1', 'endpoints.json')),
    ),
  );
});

t.test('version 1: with the current file gone, the generation before it', async (t) => {
  const directory = copyOf(t, 'version-1');
  rmSync(join(directory, 'endpoints.json'));
  const store = storeOf(ENDPOINTS, directory);
  t.match(await store.load(), { kind: 'loaded', from: 'previous', generation: 3, content: { length: 1 } });
});

t.test('version 1 has no retained names: none are known, and that is no fault', async (t) => {
  const directory = copyOf(t, 'version-1');
  const store = storeOf(RETAINED, directory);
  t.match(await store.load(), { kind: 'none', faults: { length: 0 } });
  t.same(readdirSync(directory).sort(), ['endpoints.json', 'endpoints.previous.json']);
});
