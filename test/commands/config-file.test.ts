import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { ConfigReader, readConfigForStart } from '../../src/commands/config-file.ts';
import { loadConfig } from '../../src/config/config.ts';
import { ConfigError } from '../../src/config/fault.ts';
import { readConfigFile } from '../../src/config/source-text.ts';
import { jsonTexts } from '../../src/runtime/slices.ts';
import { pause, until } from '../helpers/patience.ts';

const HEAD = 'clusters: [{name: my-cluster, region: us-west-2}]\nupstreams: [10.0.0.2]\n';
const noPause = async (): Promise<void> => undefined;

function fileWith(t: Test, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'config-apart-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'c.yaml');
  writeFileSync(file, text);
  return file;
}

const requestFor = (file: string, environment: Readonly<Record<string, string>> = {}) => ({
  file,
  explicit: true,
  environment,
  ownAddresses: ['10.9.9.9'],
});

t.test(
  'read in a thread of its own, a configuration is what it is when it is read here, and frozen',
  async (t) => {
    const example = join(import.meta.dirname, '../../config/example.yaml');
    const zones = `${HEAD}cache: {staleFor: unlimited}
zones:
  - {name: a.example, forwardTo: [10.0.0.3], whileDisconnected: ["@ A 10.0.0.1"]}
  - {name: b.example, records: ["@ A 10.0.0.1", "www CNAME @"]}
  - {name: c.example, answer: nxdomain}
`;
    for (const file of [example, fileWith(t, HEAD), fileWith(t, zones)]) {
      const request = requestFor(file, { OUTPOST_DNS_LOG__LEVEL: 'debug' });
      const here = await loadConfig({ ...request, readFile: readConfigFile });
      const apart = await new ConfigReader(() => request, noPause).read();
      const zones = JSON.parse([...jsonTexts(apart.zones)].join(''));
      t.strictSame({ ...apart, zones }, here);
      t.equal(apart.log.level, 'debug');
      t.ok([apart, apart.zones, apart.clusters[0], ...apart.zones].every(Object.isFrozen));
    }
  },
);

t.test('its faults are the same as without a thread', async (t) => {
  for (const text of ['clusters: [', `${HEAD}zones: [{name: 7}]\nunknown: 1\n`, '']) {
    const request = requestFor(fileWith(t, text));
    const here = await loadConfig({ ...request, readFile: readConfigFile }).catch((error: unknown) => error);
    const apart = await new ConfigReader(() => request, noPause).read().catch((error: unknown) => error);
    t.ok(here instanceof ConfigError && apart instanceof ConfigError);
    t.strictSame(apart, here);
  }
});

t.test('of thousands of faults a server gets those that it logs, and their number', async (t) => {
  const zones = Array.from({ length: 4000 }, (_, at) => `- {name: z${at}.example, records: [7]}`);
  const request = requestFor(fileWith(t, `${HEAD}zones:\n${zones.join('\n')}\n`));
  const here = await loadConfig({ ...request, readFile: readConfigFile }).catch((error: unknown) => error);
  const apart = await new ConfigReader(() => request, noPause).read().catch((error: unknown) => error);
  t.ok(here instanceof ConfigError && apart instanceof ConfigError);
  if (!(here instanceof ConfigError && apart instanceof ConfigError)) return;
  t.same([here.faults.length, here.count, apart.count], [4000, 4000, 4000]);
  t.strictSame(apart.faults, here.faults.slice(0, 50));
  t.equal(apart.message, here.message);
});

t.test('thousands of zones are taken as octets: a zone is made when it is read', async (t) => {
  const count = 4000;
  const zones = Array.from({ length: count }, (_, at) => `- {name: z${at}.example, forwardTo: [10.0.0.3]}`);
  const parse = JSON.parse;
  let parsed = 0;
  const counted: typeof parse = (text, reviver) => {
    parsed += 1;
    return parse(text, reviver);
  };
  t.intercept(JSON, 'parse', { value: counted });
  const config = await new ConfigReader(
    () => requestFor(fileWith(t, `${HEAD}zones:\n${zones.join('\n')}\n`)),
    noPause,
  ).read();
  t.equal(parsed, 0);
  t.equal([...config.zones].length, count);
  t.equal(parsed, count);
});

t.test('a thread that fails, or ends without an outcome, is an error and no configuration', async (t) => {
  const request = requestFor(fileWith(t, HEAD));
  for (const program of ['throw new Error("a defect")', 'process.exit(0)']) {
    const file = join(fileWith(t, ''), '..', 'program.mjs');
    writeFileSync(file, program);
    await t.rejects(new ConfigReader(() => request, noPause, { program: pathToFileURL(file) }).read());
  }
});

t.test('a thread that cannot be started holds no later read', async (t) => {
  const request = requestFor(fileWith(t, HEAD));
  const reader = new ConfigReader(() => request, noPause, { program: new URL('http://127.0.0.1/') });
  await t.rejects(reader.read(), { code: 'ERR_INVALID_URL_SCHEME' });
  t.equal(reader.isReading, false);
});

t.test('what a read prepares and its thread have turns of their own', async (t) => {
  const request = requestFor(fileWith(t, HEAD));
  const seen: string[] = [];
  const reader = new ConfigReader(
    () => {
      seen.push('request');
      return request;
    },
    async () => void seen.push('pause'),
    { program: new URL('http://127.0.0.1/') },
  );
  await t.rejects(reader.read());
  t.strictSame(seen, ['request', 'pause']);
});

t.test('a file that cannot be read within the time is given up, and named', async (t) => {
  const file = fileWith(t, HEAD);
  const program = join(fileWith(t, ''), '..', 'program.mjs');
  writeFileSync(program, 'setInterval(() => undefined, 1000);');
  const reader = new ConfigReader(() => requestFor(file), noPause, {
    program: pathToFileURL(program),
    readLimitMs: 50,
  });
  const givenUp = await reader.read().catch((error: unknown) => error);
  t.match(givenUp, { name: 'ConfigError', faults: [{ file, message: /within 0.05 s/ }] });
  await until('its thread is gone', () => !reader.isReading);
});

t.test('a pipe that gives nothing is given up, and holds no thread', async (t) => {
  const file = `${fileWith(t, '')}.pipe`;
  execFileSync('mkfifo', [file]);
  const reader = new ConfigReader(() => requestFor(file), noPause, { readLimitMs: 300 });
  const reading = reader.read().catch((error: unknown) => error);
  t.equal(reader.isReading, true);
  const meanwhile = await reader.read().catch((error: unknown) => error);
  t.match(meanwhile, { faults: [{ file, message: /still/ }] }, 'no second thread waits for the same file');
  t.match(await reading, { name: 'ConfigError', faults: [{ file }] });
  await until('its thread is gone', () => !reader.isReading);
});

t.test('a pipe is read to its end, however late its writer comes', async (t) => {
  const file = `${fileWith(t, '')}.pipe`;
  execFileSync('mkfifo', [file]);
  const reader = new ConfigReader(() => requestFor(file), noPause);
  const reading = reader.read();
  await pause(100);
  writeFileSync(file, HEAD);
  t.match(await reading, { clusters: [{ name: 'my-cluster' }] });
  t.equal(reader.isReading, false);
});

t.test('a start reads its file once, also a file that gives nothing', async (t) => {
  const file = join(t.testdir(), 'outpost-dns.yaml');
  let reads = 0;
  const started = await readConfigForStart(file, 'this program', async (path, limitOctets) => {
    reads++;
    return readConfigFile(path, limitOctets);
  });
  t.equal(started, undefined);
  t.equal(reads, 1);
});
