/** The first minute of a new installation: a file that breaks then costs no record. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../helpers/patience.ts';
import { isReady } from './readiness.ts';
import { NO_AWS } from './server-process.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

const GENERATIONS = [
  ['endpoints.json', '"address"'],
  ['endpoints.previous.json', '"address"'],
  ['retained.json', '"message"'],
  ['retained.previous.json', '"message"'],
] as const;

function holds(path: string, member: string): boolean {
  return existsSync(path) && readFileSync(path, 'utf8').includes(member);
}

t.test(
  'endpoints.json and retained.json break in the first minute: all is answered from the generation before',
  async (t) => {
    const site = await Site.open(t, { overrides: { retain: ['www.example.com'] } });
    const first = site.start();
    await isReady(first);
    await until('what is retained is known', async () => (await first.status()).retainedInAll.fresh > 0);
    // a kill between the two writes is a different fault than a broken file
    await until('both generations are on disk', () =>
      GENERATIONS.every(([file, member]) => holds(join(site.stateDirectory, file), member)),
    );
    await first.kill('SIGKILL');
    for (const file of ['endpoints.json', 'retained.json'])
      writeFileSync(join(site.stateDirectory, file), '{ "broken": ');
    await site.sandbox.close();
    const second = site.start(NO_AWS);
    const reply = await second.firstAnswer({ name: ENDPOINT });
    t.same(reply.answers.map(({ data }) => data).toSorted(), DEMO);
    await until('what was retained is answered', async () => {
      const { answers } = await second.ask({ name: 'www.example.com' });
      return answers.length > 0;
    });
    const kept = readdirSync(site.stateDirectory).filter((name) => name.includes('.corrupt-'));
    t.equal(kept.length, 2, 'each is set aside with its reason');
  },
);
