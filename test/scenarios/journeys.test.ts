/**
 * Counts the files that a newcomer reads to follow one query, or one address. They are the files under `src/` in which a
 * function ran meanwhile, in any thread of a running server.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../helpers/patience.ts';
import { ENDPOINT, folder, Site } from './site.ts';

const SOURCE = new URL('../../src/', import.meta.url).href;
const ROUNDS = 5;

class Watch {
  readonly folder: string;
  #round = 0;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The files that ran since the last call, in all threads. */
  async taken(threads: number): Promise<Set<string>> {
    const asked = this.#round++;
    writeFileSync(join(this.folder, `${asked}.ask`), '');
    const answers = () =>
      readdirSync(this.folder).filter((name) => name.startsWith(`${asked}.`) && name.endsWith('.json'));
    await until('every thread has answered', () => answers().length >= threads);
    const urls = answers().flatMap(
      (name) => JSON.parse(readFileSync(join(this.folder, name), 'utf8')) as string[],
    );
    return new Set(urls.filter((url) => url.startsWith(SOURCE)).map((url) => url.slice(SOURCE.length)));
  }
}

/** The files that ran in most rounds of `act`: background work comes and goes. */
async function filesOf(
  watch: Watch,
  threads: number,
  act: (round: number) => Promise<void>,
): Promise<string[]> {
  const rounds = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    await watch.taken(threads);
    await act(round);
    for (const path of await watch.taken(threads)) rounds.set(path, (rounds.get(path) ?? 0) + 1);
  }
  return [...rounds.keys()].filter((path) => (rounds.get(path) ?? 0) > ROUNDS / 2).sort();
}

function within(t: Test, journey: string, files: readonly string[], limit: number): void {
  t.comment(`${journey}: ${files.length} files\n  ${files.join('\n  ')}`);
  t.ok(files.length > 3 && files.length <= limit, `${journey}: ${files.length} files, at most ${limit}`);
}

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
  await server.ask({ name: 'www.example.com' });
  const ask = (name: string) => async () => void (await server.ask({ name }));
  within(t, 'an endpoint answer', await filesOf(watch, 1, ask(ENDPOINT)), 14);
  within(t, 'a cached hit', await filesOf(watch, 1, ask('www.example.com')), 21);
  const miss = async (round: number) => void (await server.ask({ name: `n${round}.example.com` }));
  within(t, 'a forwarded miss', await filesOf(watch, 1, miss), 50);
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
    const to = `10.0.1.${77 + round}`;
    site.sandbox.state.moveInterface({
      cluster: 'demo',
      from: round === 0 ? '10.0.1.10' : `10.0.1.${76 + round}`,
      to,
    });
    await until(`${to} is served`, async () => (await server.addresses(ENDPOINT)).includes(to));
  };
  const files = await filesOf(watch, 2, move);
  // what hears of it beside the way (log, ledger, link) and the question that sees the change are no part of it
  const way = /^(?:refresh|far-side|records|serving\/endpoints)\/|^store\/(?!ledger)/;
  const beside = /^refresh\/(?:refresh-log|cluster-report|cluster-warnings|link-probe)\.ts$/;
  within(
    t,
    'an address',
    files.filter((path) => way.test(path) && !beside.test(path)),
    33,
  );
});
