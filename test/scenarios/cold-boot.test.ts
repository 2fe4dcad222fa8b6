/** The worst hour for a start: no AWS, no upstream, no credentials, and state from another version or another time. */
import { cpSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { pause, until } from '../helpers/patience.ts';
import { keepState, keptRecord } from './kept-state.ts';
import { clusterOf } from './readiness.ts';
import type { ServerProcess } from './server-process.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

const YEARS = 10;
const DAY_SECONDS = 86_400;

/** An instance metadata service that takes connections and never answers. */
async function silentMetadata(t: Test): Promise<string> {
  const server = createServer(() => undefined).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  // a server that listens on TCP has an AddressInfo; node's type also covers pipes and closed servers
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function agesOf(server: ServerProcess): Promise<readonly (readonly [string, number])[]> {
  const { body } = await server.get('/metrics');
  return [...body.matchAll(/^(outpost_dns_\w*age_seconds\S*) (\S+)$/gm)].map(
    ([, what = '', value]) => [what, Number(value)] as const,
  );
}

for (const [what, prepare, confirmedSeconds] of [
  [
    'state of version 1, as it was written',
    (directory: string) =>
      cpSync(join(import.meta.dirname, '..', 'fixtures', 'state', 'version-1'), directory, {
        recursive: true,
      }),
    undefined,
  ],
  [
    'state ten years old, or the clock ten years ahead',
    (directory: string) => keepState(directory, [keptRecord(DEMO, YEARS * 365)]),
    YEARS * 365 * DAY_SECONDS,
  ],
  [
    'state from ten years hence, or the clock ten years back',
    (directory: string) => keepState(directory, [keptRecord(DEMO, -YEARS * 365)]),
    0,
  ],
] as const) {
  t.test(`no AWS, no upstream, no credentials; ${what}`, async (t) => {
    const site = await Site.open(t);
    site.sandbox.link.set('down');
    await prepare(site.stateDirectory);
    const server = site.start({
      HOME: join(site.directory, 'nobody'),
      AWS_ENDPOINT_URL: site.sandbox.regionUrl,
      AWS_EC2_METADATA_SERVICE_ENDPOINT: await silentMetadata(t),
      AWS_REGION: 'us-west-2',
    });
    const first = await server.firstAnswer({ name: ENDPOINT });
    t.comment(`first answer ${first.sinceStartMs.toFixed(0)} ms after the start of the process`);
    t.same(first.answers.map(({ data }) => data).toSorted(), DEMO);
    const ttls = new Set(first.answers.map(({ ttl }) => ttl));

    await until('credentials are missing', async () => {
      t.same(await server.addresses(ENDPOINT), DEMO);
      return (await clusterOf(server).catch(() => undefined))?.credentials?.condition === 'missing';
    });
    for (let poll = 0; poll < 10; poll++) {
      const { answers } = await server.ask({ name: ENDPOINT });
      t.same(answers.map(({ data }) => data).toSorted(), DEMO);
      for (const { ttl } of answers) ttls.add(ttl);
      for (const [name, seconds] of await agesOf(server)) t.ok(seconds >= 0, `${name}: ${seconds}`);
      const [strings] = (await server.ask({ name: `_status.${ENDPOINT}`, type: 'TXT' })).answers;
      t.match(strings?.data, /age=\d/);
      t.notMatch(strings?.data, /[= ]-\d/, 'no negative age');
      await pause(100);
    }
    for (const ttl of ttls) t.ok(ttl >= 5 && ttl <= 60, `TTL ${ttl}`);
    const confirmed = (await clusterOf(server))?.confirmedAgeSeconds ?? -1;
    if (confirmedSeconds === undefined) t.ok(confirmed >= 0);
    else t.ok(Math.abs(confirmed - confirmedSeconds) < DAY_SECONDS, `${confirmed} s`);
    t.match(server.logged('state file not usable'), { length: 0 });
    t.same((await server.status()).state.faults, []);
    t.same(server.errors, []);
    t.match(await server.get('/readyz'), { status: 200 });
    t.match(await server.kill('SIGTERM'), { code: 0 });
  });
}
