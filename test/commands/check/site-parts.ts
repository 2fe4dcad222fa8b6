import { join } from 'node:path';
import type { Test } from 'tap';
import type { Finding } from '../../../src/commands/check/finding.ts';
import { openSite, type ServerFacts, serverFacts } from '../../../src/commands/check/site.ts';
import { load } from '../../config/loading.ts';
import { PATIENCE_MS } from '../../helpers/patience.ts';
import { fresh, writeState } from '../state-files.ts';

export const NOW_MS = Date.now();
export const DAY_MS = 86_400_000;
export const AROUND = { hostsFile: '/none', resolvConf: '/none', nowMs: NOW_MS };
export const ENDPOINT = '5e9d0f3c7a1b4286b0d4c8e2f6a19753.gr7.us-west-2.eks.amazonaws.com';
export const DEMO = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];

export const codes = (findings: readonly Finding[]) => findings.map(({ code }) => code);

interface SiteParts {
  readonly cluster?: string;
  readonly upstreams?: string;
  readonly more?: string;
}

export async function site(t: Test, { upstreams = '127.0.0.1:9', cluster = '', more = '' }: SiteParts = {}) {
  const directory = await writeState(join(t.testdir(), 'state'), [
    fresh({ cluster: 'demo', endpoint: ENDPOINT, addresses: addressesOf(DEMO) }, NOW_MS),
  ]);
  const config = await load(
    `clusters: [{name: demo, region: us-west-2${cluster}}]\nupstreams: [${upstreams}]\nstate: {directory: ${directory}}\n${more}`,
  );
  const opened = await openSite(config, AROUND);
  t.teardown(() => opened[Symbol.dispose]());
  return { ...opened, deadline: () => AbortSignal.timeout(PATIENCE_MS) };
}

export function addressesOf(addresses: readonly string[]) {
  const seen = { firstSeenMs: NOW_MS, lastSeenMs: NOW_MS };
  return addresses.map((address) => ({ address, provenance: { dns: seen } }));
}

/** The `/status` of a server that runs well. */
export function status(more: object = {}): object {
  return {
    server: { version: '9.9.9', ready: true, listening: [{ address: '127.0.0.1:53' }] },
    endpoints: [],
    upstreams: [],
    state: { directory: '/s', isOurs: true, faults: [] },
    ...more,
  };
}

export function running(more: object): ServerFacts {
  const facts = serverFacts(status(more));
  if (facts === undefined) throw new Error('not a status');
  return facts;
}
