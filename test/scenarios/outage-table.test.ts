/**
 * The README's table "What happens in an outage", row by row, against the real server: connected, cut off, and restarted in
 * the cut without AWS, upstreams and credentials. A row without a test fails, and so does a test without a row.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { pause, until } from '../helpers/patience.ts';
import { lookAt, OVERRIDES, population, ROWS } from './outage-rows.ts';
import { isReady } from './readiness.ts';
import { NO_AWS, type ServerProcess } from './server-process.ts';
import { ENDPOINT, Site } from './site.ts';

const page = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
const table = /## What happens in an outage\n+([\s\S]*?)\n\n/.exec(page)?.[1] ?? '';
const rows = table
  .split('\n')
  .slice(2)
  .map((line) => line.split(' | ')[0]?.replace(/^\| /, '') ?? '');

t.test('every row has a test, and every test a row', async (t) => {
  t.strictSame(Object.keys(ROWS).toSorted(), rows.toSorted());
});

/** The server knows that no upstream answers, and its kept answers are stale. */
async function isCut(server: ServerProcess): Promise<void> {
  await until('the cut is known', async () => {
    await server.ask({ name: 'warm.example.com', edns: {} });
    const { link, upstreams } = await server.status();
    return link.summary.condition === 'disconnected' && upstreams.every(({ isHealthy }) => !isHealthy);
  });
  await pause(1_100);
}

t.test('the table, connected, cut and restarted', async (t) => {
  const site = await Site.open(t, { overrides: OVERRIDES, population: population() });
  site.configureCluster({ vpcNetworks: ['10.20.0.0/16'] }, OVERRIDES);
  const first = site.start();
  await isReady(first);
  await until('the retained name is learned', async () =>
    (await first.status()).retained.some(({ type, state }) => type === 'A' && state === 'fresh'),
  );
  await lookAt(t, first, 'connected');

  site.sandbox.link.set('down');
  await isCut(first);
  await lookAt(t, first, 'cut');
  t.match(await first.kill('SIGTERM'), { code: 0 });

  const second = site.start(NO_AWS);
  await second.firstAnswer({ name: ENDPOINT });
  await until('what was kept is back', async () => {
    const { state, retained } = await second.status();
    return (state.snapshot.loadedAnswers ?? 0) > 0 && retained.some(({ state }) => state === 'stale');
  });
  await isCut(second);
  await lookAt(t, second, 'restarted');
});
