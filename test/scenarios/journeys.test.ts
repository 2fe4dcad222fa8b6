/**
 * Counts the files that a newcomer reads to follow one query, or one address. They are the files under `src/` in which a
 * function ran meanwhile, in any thread of a running server.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../helpers/patience.ts';
import { ENDPOINT, folder, Site } from './site.ts';

const SOURCE = new URL('../../src/', import.meta.url).href;
/** Background work comes and goes: it does not reach the same further file in so many rounds, one after the other. */
const ROUNDS_ALIKE = 6;

class Watch {
  readonly folder: string;
  #round = 0;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The files that ran in these threads since the last call. */
  async taken(threads: readonly string[]): Promise<Set<string>> {
    const asked = this.#round++;
    writeFileSync(join(this.folder, `${asked}.ask`), '');
    const answers = threads.map((thread) => join(this.folder, `${asked}.${thread}.json`));
    await until('every thread has answered', () => answers.every((file) => existsSync(file)));
    const urls = answers.flatMap((file) => JSON.parse(readFileSync(file, 'utf8')) as string[]);
    return new Set(urls.filter((url) => url.startsWith(SOURCE)).map((url) => url.slice(SOURCE.length)));
  }
}

/** The files that ran in every round of `act`: there are rounds until the last few left out no further file. */
async function filesOf(
  watch: Watch,
  threads: readonly string[],
  act: (round: number) => Promise<void>,
): Promise<readonly string[]> {
  let files: readonly string[] | undefined;
  for (let [round, alike] = [0, 0]; alike < ROUNDS_ALIKE; round++) {
    await watch.taken(threads);
    await act(round);
    const ran = await watch.taken(threads);
    const inAll = (files ?? [...ran]).filter((path) => ran.has(path));
    alike = inAll.length === files?.length ? alike + 1 : 0;
    files = inAll;
  }
  return (files ?? []).toSorted();
}

/** `known`: the ends of the way, without which nothing was measured. */
function within(
  t: Test,
  journey: string,
  files: readonly string[],
  limit: number,
  known: readonly string[],
): void {
  t.comment(`${journey}: ${files.length} files\n  ${files.join('\n  ')}`);
  t.strictSame(
    known.filter((path) => !files.includes(path)),
    [],
    `${journey}: the ends of the way were seen`,
  );
  t.ok(files.length <= limit, `${journey}: ${files.length} files, at most ${limit}`, { files });
}

const INTAKE = 'serving/listener/intake.ts';
const TABLE = 'serving/endpoints/endpoint-table.ts';
const CACHE = 'serving/answer-cache/answer-cache.ts';
const SELDOM = { dns: '1h', interfaces: '1h', route53: '1h', cluster: '1h' };

/** A server that answers the endpoint, and says which files ran in it. */
async function watched(t: Test, overrides: Readonly<Record<string, unknown>>) {
  const site = await Site.open(t, { overrides });
  const watch = new Watch(folder(t));
  const server = site.start({
    ...site.sandbox.environment,
    NODE_OPTIONS: `--import ${new URL('executed-files.ts', import.meta.url).href}`,
    EXECUTED_FILES: watch.folder,
  });
  await server.firstAnswer({ name: ENDPOINT });
  await until('the endpoint is ours', async () => (await server.ask({ name: ENDPOINT })).aa);
  return { site, watch, server };
}

t.test('a query is followed through few files', async (t) => {
  const { watch, server } = await watched(t, { refresh: SELDOM });
  // the first replies are counted fifty times a second, beside each way (runtime/memory.ts)
  for (let asked = 0; asked < 3_000; asked++) await server.ask({ name: 'www.example.com' });
  const ask = (name: string) => async () => void (await server.ask({ name }));
  within(t, 'an endpoint answer', await filesOf(watch, ['main'], ask(ENDPOINT)), 12, [INTAKE, TABLE]);
  within(t, 'a cached hit', await filesOf(watch, ['main'], ask('www.example.com')), 17, [INTAKE, CACHE]);
  const miss = async (round: number) => void (await server.ask({ name: `n${round}.example.com` }));
  within(t, 'a forwarded miss', await filesOf(watch, ['main'], miss), 26, [
    INTAKE,
    CACHE,
    'serving/forwarder/forwarder.ts',
  ]);
});

t.test('an address is followed through few files from AWS to the table', async (t) => {
  const { site, watch, server } = await watched(t, {
    refresh: { ...SELDOM, dns: '1s', interfaces: '1s' },
  });
  await until(
    'AWS has been asked',
    async () => (await server.status()).link.summary.condition === 'connected',
  );
  const move = async (round: number) => {
    const to = `10.0.1.${128 + round}`;
    site.sandbox.state.moveInterface({
      cluster: 'demo',
      from: round === 0 ? '10.0.1.10' : `10.0.1.${127 + round}`,
      to,
    });
    await until(`${to} is served`, async () => (await server.addresses(ENDPOINT)).includes(to));
  };
  const files = await filesOf(watch, ['main', 'aws'], move);
  // what hears of it beside the way (log, ledger, link) and the question that sees the change are no part of it
  const way = /^(?:refresh|far-side|records|serving\/endpoints)\/|^store\/(?!ledger)/;
  const beside = /^refresh\/(?:refresh-log|cluster-snapshot|cluster-warnings|link-probe)\.ts$/;
  within(
    t,
    'an address',
    files.filter((path) => way.test(path) && !beside.test(path)),
    24,
    ['far-side/aws/interfaces.ts', 'store/endpoints-format.ts', TABLE],
  );
});
