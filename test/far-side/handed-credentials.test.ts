/** Credentials that the thread with the AWS clients leaves to its successor: a provider is asked again only where it must be. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { AccessKey } from '../../sandbox/facts.ts';
import { createOutboundHandler } from '../../src/far-side/aws/clients.ts';
import { CredentialsShelf, type KeptCredentials } from '../../src/far-side/aws/credentials.ts';
import { FarSide } from '../../src/far-side/far-side.ts';
import { LocalFiles, SharedFiles } from '../../src/far-side/local-files.ts';
import { DIRECT } from '../../src/far-side/outbound.ts';
import { threadsNotEnded } from '../../src/runtime/background.ts';
import { systemClock, systemTimers } from '../../src/runtime/clock.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { PATIENCE_MS, until } from '../helpers/patience.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { keyOf, processOutput } from '../sandbox/access-keys.ts';
import { contextOf } from './polling.ts';
import { credentialFiles, startRegion } from './region.ts';

const HOUR_MS = 3_600_000;

/** The files that `credentialFiles` has named in the environment. */
function configured() {
  const { AWS_CONFIG_FILE: configFile, AWS_SHARED_CREDENTIALS_FILE: credentialsFile } = process.env;
  return { configFile, credentialsFile };
}

/** Polls through threads of the real program; each poll has a thread of its own. */
async function counted(t: Test) {
  const sandbox = await startRegion(t);
  const files = credentialFiles(t);
  const counts = join(files.directory, 'counts');
  const output = join(files.directory, 'output');
  writeFileSync(counts, '');
  files.writeProcess(`echo once >> ${counts}\ncat ${output}\n`);
  const time = new VirtualTime();
  const log = new CollectingLog();
  const outbound = { ...DIRECT, ...configured() };
  const farSide = new FarSide({ clock: systemClock, timers: time, log, outbound });
  const alive = setInterval(() => undefined, 1000); // the thread does not keep this process alive
  t.teardown(() => {
    clearInterval(alive);
    farSide[Symbol.dispose]();
  });
  return {
    sandbox,
    files,
    log,
    farSide,
    give(key: AccessKey, more: object = {}): void {
      sandbox.state.putAccessKey(key);
      writeFileSync(output, processOutput(key, more));
    },
    /** How often the command has run so far. */
    runs: () => readFileSync(counts, 'utf8').split('\n').length - 1,
    async poll() {
      await until('the thread of the poll before has ended', () => threadsNotEnded() === 0);
      const observation = await farSide.poll(
        'interfaces',
        {},
        contextOf({ cluster: 'demo' }),
        AbortSignal.timeout(PATIENCE_MS),
      );
      await time.advance(15_000);
      return observation;
    },
  };
}

const WELL = { kind: 'addresses', addresses: ['10.0.1.10', '10.0.2.10', '10.0.3.10'] };
const inMs = (ms: number) => ({ Expiration: new Date(Date.now() + ms).toISOString() });

t.test('a credential_process runs once for as long as its credentials are good', async (t) => {
  const { sandbox, log, give, runs, poll } = await counted(t);
  const first = keyOf('first');
  give(first, inMs(HOUR_MS));
  for (const which of ['first', 'next']) t.match(await poll(), WELL, `${which} thread`);
  t.equal(runs(), 1, 'the next thread has its credentials');

  give(keyOf('fresh'), inMs(HOUR_MS));
  sandbox.state.putAccessKey({ ...first, expiresAtMs: 0 });
  t.match(await poll(), WELL, 'expired at AWS: asked again in the same poll');
  t.equal(runs(), 2);
  t.match(await poll(), WELL);
  t.equal(runs(), 2, 'and handed on again');

  t.notMatch(JSON.stringify(log.lines), /secret-of|token-of/, 'no secret is logged');
});

t.test('credentials of a profile that no cluster has any more are not kept', async (t) => {
  const { farSide, give, runs, poll } = await counted(t);
  give(keyOf('first'), inMs(HOUR_MS));
  t.match(await poll(), WELL);
  farSide.retainProfiles(new Set([undefined, 'site']));
  t.match(await poll(), WELL);
  t.equal(runs(), 1, 'the profile of the environment is still in use');
  farSide.retainProfiles(new Set(['site']));
  t.match(await poll(), WELL, 'a poll that was due');
  t.match(await poll(), WELL);
  t.equal(runs(), 3, 'asked for each time, and kept by nobody');
});

/** Shelves one after the other, as threads have them, whose default profile has this command. */
function shelves(files: ReturnType<typeof credentialFiles>) {
  let handed = new Map<string, KeptCredentials>();
  const outbound = { ...DIRECT, ...configured() };
  const shared = new SharedFiles(outbound, new LocalFiles(systemTimers));
  const counts = join(files.directory, 'counts');
  writeFileSync(counts, '');
  return {
    handed: () => [...handed.values()],
    give: (output: string) => files.writeProcess(`echo once >> ${counts}\n${output}\n`),
    runs: () => readFileSync(counts, 'utf8').split('\n').length - 1,
    async next() {
      const before = handed;
      handed = new Map(before);
      return new CredentialsShelf({
        clock: systemClock,
        log: new CollectingLog(),
        handler: () => createOutboundHandler({}, DIRECT, undefined),
        shared,
        handed: before,
        keep: (name, kept) => (kept === undefined ? handed.delete(name) : handed.set(name, kept)),
      }).get({ region: 'us-west-2' }, await shared.check());
    },
  };
}

const echo = (key: AccessKey, more: object = {}) => `echo '${processOutput(key, more)}'`;

t.test('when a provider is asked again', async (t) => {
  await startRegion(t);
  const files = credentialFiles(t);
  const { give, next, runs, handed } = shelves(files);
  const given = async () => (await next()).provide();
  for (const [what, key, more] of [
    ['an hour', keyOf('hour'), inMs(HOUR_MS)],
    ['no end', keyOf('endless'), {}],
  ] as const) {
    give(echo(key, more));
    const before = runs();
    t.equal((await given()).accessKeyId, key.accessKeyId, what);
    t.equal((await given()).accessKeyId, key.accessKeyId, what);
    t.equal(runs() - before, 1, `${what}: once`);
    files.writeConfig(`${readFileSync(process.env['AWS_CONFIG_FILE']!, 'utf8')}# changed\n`);
    t.equal((await given()).accessKeyId, key.accessKeyId);
    t.equal(runs() - before, 2, `${what}: another configuration may give others`);
    t.equal((await given()).accessKeyId, key.accessKeyId);
    t.equal(runs() - before, 2, `${what}: and those are handed on`);
  }
  give(echo(keyOf('short'), inMs(4 * 60_000)));
  await given();
  const before = runs();
  await given();
  t.equal(runs() - before, 1, 'they end within minutes');

  files.writeConfig('');
  files.writeKey(keyOf('old'));
  t.match(await given(), { accessKeyId: keyOf('old').accessKeyId });
  files.writeKey(keyOf('fresh'));
  t.match(await given(), { accessKeyId: keyOf('fresh').accessKeyId }, 'a file costs nothing to read');
  t.strictSame(handed(), []);
});

t.test('credentials that AWS refused are handed to nobody', async (t) => {
  const sandbox = await startRegion(t);
  const files = credentialFiles(t);
  const key = sandbox.state.accessKeys[0]!;
  const { give, next, handed } = shelves(files);
  give(echo(key));
  const old = await next();
  await old.provide();
  t.match(handed(), [{ identity: { accessKeyId: key.accessKeyId }, isAccepted: false }]);
  old.accepted();
  t.match(handed(), [{ isAccepted: true }]);
  const taken = await next();
  await taken.provide();
  t.equal(taken.wasAccepted(), true, 'so a refusal is answered by another try at once');
  taken.forget();
  t.strictSame(handed(), []);
  const later = await next();
  t.equal(later.wasAccepted(), false);
  await later.provide();
  t.match(handed(), [{ isAccepted: false }]);
  taken.forget();
  t.equal(handed().length, 1, 'old ones, off the shelf, forget only themselves');
});
