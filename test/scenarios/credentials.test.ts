/** Credentials that end, are taken away, are replaced or do not come, link up and link cut: shown as such, and fixed without a restart. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { AccessKey } from '../../sandbox/facts.ts';
import { pause, until } from '../helpers/patience.ts';
import { credentialsFile, keyOf, processOutput } from '../sandbox/access-keys.ts';
import { clusterOf, isReady, sourceOf } from './readiness.ts';
import type { ServerProcess } from './server-process.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

t.jobs = 3; // these tests wait more than they work
t.setTimeout(600_000);

const MOVED = ['10.0.1.77', '10.0.2.10', '10.0.3.10'];

/** A site whose server takes its credentials from files, where they can be replaced. */
class Keyring {
  readonly site: Site;
  readonly #folder: string;

  private constructor(site: Site) {
    this.site = site;
    this.#folder = join(site.directory, 'aws');
    mkdirSync(this.#folder);
    for (const name of ['credentials', 'config']) writeFileSync(join(this.#folder, name), '');
  }

  static async open(t: Test): Promise<Keyring> {
    return new Keyring(await Site.open(t));
  }

  /** Makes the key known to AWS, and writes it into the file. */
  give(key: AccessKey): void {
    this.site.sandbox.state.putAccessKey(key);
    writeFileSync(join(this.#folder, 'credentials'), credentialsFile(key));
  }

  /** The default profile has credentials from this shell script alone. */
  giveByProcess(script: string): void {
    const path = join(this.#folder, 'process.sh');
    writeFileSync(path, script);
    writeFileSync(join(this.#folder, 'config'), `[default]\ncredential_process = /bin/sh ${path}\n`);
  }

  get pidsFile(): string {
    return join(this.#folder, 'pids');
  }

  expire(key: AccessKey): void {
    this.site.sandbox.state.putAccessKey({ ...key, expiresAtMs: 0 });
  }

  /** From the addresses of `DEMO` to those of `MOVED`. */
  moveInterface(): void {
    this.site.sandbox.state.moveInterface({ cluster: 'demo', from: '10.0.1.10', to: '10.0.1.77' });
  }

  revoke(key: AccessKey): void {
    this.site.sandbox.state.revokeAccessKey(key.accessKeyId);
  }

  start(): ServerProcess {
    const own = Object.entries(this.site.sandbox.environment).filter(
      ([name]) => !/^AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|PROFILE)$/.test(name),
    );
    return this.site.start({
      ...Object.fromEntries(own),
      AWS_SHARED_CREDENTIALS_FILE: join(this.#folder, 'credentials'),
      AWS_CONFIG_FILE: join(this.#folder, 'config'),
    });
  }
}

async function conditionIs(server: ServerProcess, condition: string): Promise<unknown> {
  return until(
    `the credentials are ${condition}`,
    async () => (await clusterOf(server))?.credentials?.condition === condition,
  );
}

/** Every view of a person says the same. */
async function isShown(t: Test, server: ServerProcess, condition: 'missing' | 'expired' | 'refused') {
  const cluster = await clusterOf(server);
  t.match(cluster?.credentials, { condition, detail: /./ });
  t.match(cluster?.warnings.join('\n'), new RegExp(`credentials for aws are ${condition}`));
  t.same([...(await server.metric('outpost_dns_credentials_accepted')).values()], [0]);
  const [info] = (await server.metric('outpost_dns_credentials_condition_info')).keys();
  t.match(info, new RegExp(`condition="${condition}"`));
  const { answers } = await server.ask({ name: `_status.${ENDPOINT}`, type: 'TXT' });
  t.match(answers[0]?.data, new RegExp(`credentials=${condition} for `));
}

/** The states of the link since the start of the process, from the log. */
function linkOf(server: ServerProcess, side: string): readonly unknown[] {
  return server
    .logged('link changed')
    .filter((line) => line['side'] === side)
    .map(({ to }) => to);
}

function credentialsOf(server: ServerProcess): readonly unknown[] {
  return server.logged('credentials changed').map(({ level, to }) => `${level} ${to}`);
}

async function isFresh(t: Test, server: ServerProcess, addresses: readonly string[]): Promise<void> {
  const startMs = performance.now();
  // `until` waits for the minute that is promised
  await until('the new address is served, by every source', async () => {
    if (`${await server.addresses(ENDPOINT)}` !== `${addresses}`) return false;
    const latest = await Promise.all(
      ['dns', 'interfaces', 'cluster'].map(async (name) => (await sourceOf(server, name))?.latest),
    );
    return latest.every((one) => one === 'succeeded');
  });
  t.comment(`fresh after ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
}

async function cut(server: ServerProcess, { site }: Keyring): Promise<void> {
  site.sandbox.link.set('down');
  await until(
    'the cut is known',
    async () => (await server.status()).link.summary.condition === 'disconnected',
  );
}

/** A server that worked with this key until the link was cut. */
async function cutOffWith(t: Test, key: AccessKey) {
  const keys = await Keyring.open(t);
  keys.give(key);
  const server = keys.start();
  await isReady(server);
  await conditionIs(server, 'accepted');
  await cut(server, keys);
  return { keys, server };
}

for (const [what, end] of [
  ['expired', (keys: Keyring, key: AccessKey) => keys.expire(key)],
  ['revoked', (keys: Keyring, key: AccessKey) => keys.revoke(key)],
] as const) {
  t.test(
    `${what} and replaced in the files while cut off: fresh after the return, without a log line`,
    async (t) => {
      const [old, fresh] = [keyOf('old'), keyOf('fresh')];
      const { keys, server } = await cutOffWith(t, old);
      end(keys, old);
      keys.give(fresh);
      keys.moveInterface();
      await pause(2000); // polls during the cut
      t.same(await server.addresses(ENDPOINT), DEMO);
      t.match(
        (await clusterOf(server))?.credentials,
        { condition: 'accepted' },
        'a cut says nothing of them',
      );
      keys.site.sandbox.link.set('up');
      await isFresh(t, server, MOVED);
      await until('connected', async () => (await server.status()).link.summary.condition === 'connected');
      t.same(credentialsOf(server), ['info accepted'], 'the files were read before a poll failed');
      t.equal(linkOf(server, 'aws').filter((to) => to === 'disconnected').length, 1, 'the cut alone');
    },
  );

  t.test(
    `${what} while cut off, replaced long after the return: its own condition, the link whole`,
    async (t) => {
      const [old, fresh] = [keyOf('old'), keyOf('fresh')];
      const { keys, server } = await cutOffWith(t, old);
      end(keys, old);
      keys.moveInterface();
      keys.site.sandbox.link.set('up');
      const condition = what === 'expired' ? 'expired' : 'refused';
      await conditionIs(server, condition);
      await until('connected', async () => (await server.status()).link.summary.condition === 'connected');
      await isShown(t, server, condition);
      await pause(3000);
      t.same(linkOf(server, 'aws').at(-1), 'connected', 'refusals keep it so');
      t.equal(linkOf(server, 'aws').filter((to) => to === 'disconnected').length, 1, 'the cut alone');
      t.same(await server.addresses(ENDPOINT), MOVED, 'DNS needs no credentials');
      keys.give(fresh);
      await isFresh(t, server, MOVED);
      await conditionIs(server, 'accepted');
      t.same(
        credentialsOf(server),
        ['info accepted', `warn ${condition}`, 'info accepted'],
        'a line for each change',
      );
      t.same([...(await server.metric('outpost_dns_credentials_accepted')).values()], [1]);
    },
  );
}

t.test(
  'a credential_process that hangs, over a cut and a return: missing, the link whole, nothing piles up',
  async (t) => {
    const keys = await Keyring.open(t);
    const key = keyOf('process');
    keys.site.sandbox.state.putAccessKey(key);
    const hanging = `echo $$ >> ${keys.pidsFile}\nexec sleep 600\n`;
    keys.site.configureCluster({ endpoint: ENDPOINT }); // the configuration has to say what AWS cannot
    keys.giveByProcess(hanging);
    const server = keys.start();
    t.teardown(() => {
      for (const pid of alive(keys.pidsFile)) process.kill(pid, 'SIGKILL');
    });
    await isReady(server);
    await conditionIs(server, 'missing');
    await isShown(t, server, 'missing');
    await until('the link is known by other means', async () => linkOf(server, 'aws').length > 0);
    t.same(linkOf(server, 'aws'), ['connected'], 'nothing was sent with credentials, and that is no cut');
    await cut(server, keys);
    keys.moveInterface();
    await pause(2000);
    keys.site.sandbox.link.set('up');
    await until('connected', async () => (await server.status()).link.summary.condition === 'connected');
    await isShown(t, server, 'missing');
    t.ok(alive(keys.pidsFile).length <= 6, `${alive(keys.pidsFile).length} processes`);
    keys.giveByProcess(`echo '${processOutput(key)}'`);
    await isFresh(t, server, MOVED);
    await conditionIs(server, 'accepted');
    t.same(credentialsOf(server), ['warn missing', 'info accepted']);
    t.equal(linkOf(server, 'aws').filter((to) => to === 'disconnected').length, 1, 'the cut alone');
  },
);

function alive(path: string): readonly number[] {
  const pids = readFileSync(path, 'utf8').trim().split('\n').map(Number);
  return pids.filter((pid) => {
    try {
      return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    } catch {
      return false;
    }
  });
}
