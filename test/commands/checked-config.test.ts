import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import {
  CHECKED_CONFIG,
  type ConfigOrigin,
  decodeCheckedConfig,
  encodeCheckedConfig,
  programIdentity,
  readCheckedConfig,
  readOwnFile,
} from '../../src/commands/checked-config.ts';
import { loadConfig } from '../../src/config/config.ts';
import { probableStateDirectory } from '../../src/config/source-text.ts';
import { STEPS_PER_TURN } from '../../src/runtime/slices.ts';

const SMALLEST = 'clusters: [{name: my-cluster, region: us-west-2}]\nupstreams: [10.0.0.2]\n';
const FULL = `${SMALLEST}cache: {staleFor: unlimited}
zones:
  - {name: a.example, forwardTo: [10.0.0.3], whileDisconnected: ["@ A 10.0.0.1"]}
  - {name: b.example, records: ["@ A 10.0.0.1", "www CNAME @"]}
`;

function originOf(text: string, others: Partial<ConfigOrigin['request']> = {}): ConfigOrigin {
  const request = {
    file: '/etc/c.yaml',
    explicit: true,
    environment: {},
    ownAddresses: ['10.9.9.9'],
    ...others,
  };
  return { request, octets: Buffer.from(text), program: '0.2.0 1000 1' };
}

function load({ request, octets }: ConfigOrigin) {
  return loadConfig({ ...request, readFile: async () => octets });
}

async function kept(origin: ConfigOrigin): Promise<Uint8Array> {
  const octets = await encodeCheckedConfig(origin, await load(origin), async () => undefined);
  if (octets === undefined) throw new Error('this configuration can be kept');
  return octets;
}

t.test('a kept configuration is what the file says, frozen', async (t) => {
  for (const text of [SMALLEST, FULL, 'log: {level: debug}']) {
    const environment =
      text === FULL
        ? { OUTPOST_DNS_LOG__LEVEL: 'debug', HTTPS_PROXY: 'http://me:secret@proxy.example:3128' }
        : {};
    const origin = originOf(text.includes('clusters') ? text : `${SMALLEST}${text}`, { environment });
    const octets = await kept(origin);
    const config = decodeCheckedConfig(origin, octets);
    t.strictSame(config, await load(origin));
    t.ok([config, config?.clusters, config?.clusters[0], config?.outbound].every(Object.isFrozen));
    t.notOk(Buffer.from(octets).includes('secret'), 'the password of a proxy is kept nowhere');
  }
});

t.test('it counts for the same program, file, variables and addresses alone', async (t) => {
  const origin = originOf(FULL, { environment: { OUTPOST_DNS_LOG__LEVEL: 'debug', HOME: '/root' } });
  const octets = await kept(origin);
  const { request } = origin;
  const others: Record<string, ConfigOrigin> = {
    'another program': { ...origin, program: '0.2.1 1000 1' },
    'another text': { ...origin, octets: Buffer.from(`${FULL}\n`) },
    'another file': { ...origin, request: { ...request, file: '/etc/d.yaml' } },
    'not named by a person': { ...origin, request: { ...request, explicit: false } },
    'a variable more': {
      ...origin,
      request: { ...request, environment: { OUTPOST_DNS_LOG__LEVEL: 'debug', OUTPOST_DNS_X: '1' } },
    },
    'a variable less': { ...origin, request: { ...request, environment: {} } },
    'another address of the host': { ...origin, request: { ...request, ownAddresses: ['10.0.0.2'] } },
    'a proxy that is faulty': {
      ...origin,
      request: { ...request, environment: { OUTPOST_DNS_LOG__LEVEL: 'debug', HTTPS_PROXY: 'socks://x' } },
    },
  };
  t.ok(decodeCheckedConfig(origin, octets));
  t.ok(
    decodeCheckedConfig(
      { ...origin, request: { ...request, environment: { OUTPOST_DNS_LOG__LEVEL: 'debug' } } },
      octets,
    ),
    'a variable of another program',
  );
  for (const [what, other] of Object.entries(others))
    t.equal(decodeCheckedConfig(other, octets), undefined, what);
});

t.test('octets that are not whole are not taken', async (t) => {
  const origin = originOf(SMALLEST);
  const octets = await kept(origin);
  for (let length = 0; length < octets.length; length++)
    if (decodeCheckedConfig(origin, octets.subarray(0, length)) !== undefined) t.fail(`cut at ${length}`);
  fc.assert(
    fc.property(fc.nat(octets.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const wrong = Uint8Array.from(octets);
      wrong[at] = (wrong[at] ?? 0) ^ flip;
      return decodeCheckedConfig(origin, wrong) === undefined;
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (any) => decodeCheckedConfig(origin, any) === undefined),
  );
});

t.test('a text that stands for a number without end is not kept', async (t) => {
  const config = await load(originOf(SMALLEST));
  t.equal(
    await encodeCheckedConfig(
      originOf(SMALLEST),
      { ...config, identity: { ...config.identity, id: '\0Infinity' } } as never,
      async () => undefined,
    ),
    undefined,
  );
});

t.test('the state directory is found in the text, and a wrong guess does no harm', async (t) => {
  const directory = (text: string, environment = {}) =>
    probableStateDirectory(Buffer.from(text), environment);
  t.equal(directory(SMALLEST), '/var/lib/outpost-dns');
  t.equal(directory('state:\n  directory: /srv/dns # here\n'), '/srv/dns');
  t.equal(directory('state: {directory: "/srv/dns"}\n'), '/srv/dns');
  t.equal(directory('state: {directory: /a}', { OUTPOST_DNS_STATE__DIRECTORY: '/b' }), '/b');
  t.equal(directory('state: {directory: /a}', { OUTPOST_DNS_STATE__DIRECTORY: '' }), '/a', 'it is not set');
  const state = folder(t);
  const text = `# directory: ${state}\n${SMALLEST}`;
  const origin = originOf(text);
  t.equal(await readCheckedConfig(origin, readOwnFile), undefined, 'no file there');
  writeFileSync(join(state, CHECKED_CONFIG), await kept(originOf(SMALLEST)));
  t.equal(await readCheckedConfig(origin, readOwnFile), undefined, 'a file of another origin');
  writeFileSync(join(state, CHECKED_CONFIG), await kept(origin));
  t.strictSame(await readCheckedConfig(origin, readOwnFile), await load(origin));
  truncateSync(join(state, CHECKED_CONFIG), 100);
  t.equal(await readCheckedConfig(origin, readOwnFile), undefined, 'a file that ends early');
});

t.test(
  'the digest of a large file is made in several turns, because queries are answered meanwhile',
  async (t) => {
    const config = await load(originOf(SMALLEST));
    // by steps alone: a quick processor needs no millisecond for all of it
    const stepsOf16KiB = 256;
    let pauses = 0;
    const large = SMALLEST.padEnd(4 * 1024 * 1024, '# a comment\n');
    await encodeCheckedConfig(originOf(large), config, async () => void pauses++);
    t.ok(pauses >= Math.floor(stepsOf16KiB / STEPS_PER_TURN), `${pauses} pauses`);
  },
);

t.test('another build is another program, and the source is none', async (t) => {
  const file = join(folder(t), 'serve.js');
  writeFileSync(file, '//');
  const identity = () => programIdentity(pathToFileURL(file).href, '0.2.0');
  const first = identity();
  t.equal(identity(), first);
  utimesSync(file, 1, 1);
  t.not(identity(), first);
  const other = join(folder(t), 'serve-OTHER.js');
  writeFileSync(other, '//');
  utimesSync(other, 1, 1);
  const ofOther = programIdentity(pathToFileURL(other).href, '0.2.0');
  t.not(identity(), ofOther, 'a build of the same version, size and time, as packages have it');
  t.equal(programIdentity(import.meta.url, '0.2.0'), undefined);
  rmSync(file);
  t.equal(identity(), undefined, 'an upgrade is just replacing it');
});

t.test('a file that somebody else can have written is not taken', async (t) => {
  const state = folder(t);
  const path = join(state, CHECKED_CONFIG);
  const origin = originOf(`# directory: ${state}\n${SMALLEST}`);
  const read = () => readCheckedConfig(origin, readOwnFile);
  writeFileSync(path, await kept(origin), { mode: 0o640 });
  t.ok(await read());
  for (const mode of [0o660, 0o642]) {
    chmodSync(path, mode);
    t.equal(await read(), undefined, `mode ${mode.toString(8)}`);
  }
  chmodSync(path, 0o640);
  if (process.geteuid?.() === 0) {
    chownSync(path, 65534, 0);
    t.equal(await read(), undefined, 'the file of another user');
    chownSync(path, 0, 0);
  }
  t.ok(await read());
  renameSync(path, `${path}.moved`);
  symlinkSync(`${path}.moved`, path);
  t.equal(await read(), undefined, 'a link');
  rmSync(path);
  execFileSync('mkfifo', [path]);
  t.equal(await read(), undefined, 'a pipe, which is not waited for');
});

t.test('ten thousand zones are composed in pieces, between which queries are answered', async (t) => {
  const zones = Array.from(
    { length: 10_000 },
    (_, at) => `  - {name: z${at}.example, forwardTo: [10.0.0.3]}\n`,
  );
  const records = Array.from({ length: 10_000 }, (_, at) => `"n${at} A 10.0.0.1"`);
  for (const text of [
    `${SMALLEST}zones:\n${zones.join('')}`,
    `${SMALLEST}zones: [{name: a.example, records: [${records}]}]\n`,
  ]) {
    const origin = originOf(text);
    const config = await load(origin);
    let [turns, longestMs, sinceMs] = [0, 0, performance.now()];
    const octets = await encodeCheckedConfig(origin, config, async () => {
      longestMs = Math.max(longestMs, performance.now() - sinceMs);
      turns += 1;
      await new Promise((resolve) => setImmediate(resolve));
      sinceMs = performance.now();
    });
    t.ok(turns >= 40, `${turns} turns, the longest ${longestMs.toFixed(1)} ms`);
    t.strictSame(decodeCheckedConfig(origin, octets ?? new Uint8Array()), config);
  }
});

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'checked-config-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}
