import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import {
  ACCEPTED_CONFIG,
  decodeAcceptedConfig,
  encodeAcceptedConfig,
  readAcceptedConfig,
} from '../../src/commands/accepted-config.ts';
import { readOwnFile } from '../../src/commands/checked-config.ts';
import { readConfigForStart } from '../../src/commands/config-file.ts';
import { readConfigFile } from '../../src/config/source-text.ts';

const FILE = '/etc/outpost-dns/outpost-dns.yaml';
const GOOD = 'clusters: [{name: my-cluster, region: us-west-2}]\nupstreams: [10.0.0.2]\n';
const text = Buffer.from(GOOD);

t.test('any text comes back as it was, for its own file alone', async (t) => {
  fc.assert(
    fc.property(fc.string(), fc.uint8Array({ maxLength: 2000 }), (file, octets) => {
      const kept = encodeAcceptedConfig(file, octets);
      const back = decodeAcceptedConfig(file, kept);
      return (
        back !== undefined &&
        Buffer.compare(back, octets) === 0 &&
        decodeAcceptedConfig(`${file}x`, kept) === undefined
      );
    }),
  );
  t.same(decodeAcceptedConfig(FILE, encodeAcceptedConfig(FILE, text)), text);
});

t.test('octets that are not whole are not taken', async (t) => {
  const kept = encodeAcceptedConfig(FILE, text);
  for (let length = 0; length < kept.length; length++)
    if (decodeAcceptedConfig(FILE, kept.subarray(0, length)) !== undefined) t.fail(`cut at ${length}`);
  fc.assert(
    fc.property(fc.nat(kept.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const wrong = Uint8Array.from(kept);
      wrong[at] = (wrong[at] ?? 0) ^ flip;
      return decodeAcceptedConfig(FILE, wrong) === undefined;
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (any) => decodeAcceptedConfig(FILE, any) === undefined),
  );
});

t.test('a start whose file is refused takes the text that was accepted last', async (t) => {
  const directory = t.testdir();
  const file = join(directory, 'outpost-dns.yaml');
  const state = `state: {directory: ${directory}}\n`;
  const kept = join(directory, ACCEPTED_CONFIG);
  const start = async (written: string | undefined) => {
    if (written !== undefined) writeFileSync(file, written);
    return readConfigForStart(file, 'this program', readConfigFile);
  };
  const broken = `${state}${GOOD}upstreams: [nowhere]\n`;
  t.equal(await start(broken), undefined, 'nothing was accepted before');
  writeFileSync(kept, encodeAcceptedConfig(file, Buffer.from(`${state}${GOOD}`)), { mode: 0o640 });
  for (const refused of [broken, `${state}clusters: [\n`, `${state}\0`]) {
    const started = await start(refused);
    t.match(started?.config, { clusters: [{ name: 'my-cluster' }] }, JSON.stringify(refused));
    t.ok(started?.refusal, 'with the reason');
    t.equal(started?.octets, undefined, 'the refused text is not kept in its place');
    t.equal(started?.composeKept, undefined);
  }
  const good = await start(`${state}${GOOD.replace('my-cluster', 'mine')}`);
  t.match(good?.config, { clusters: [{ name: 'mine' }] }, 'a good file wins');
  t.equal(good?.refusal, undefined);
  writeFileSync(kept, encodeAcceptedConfig(file, Buffer.from('clusters: [\n')), { mode: 0o640 });
  t.equal(await start(broken), undefined, 'a text that is refused, too');
  writeFileSync(kept, encodeAcceptedConfig('/etc/other.yaml', Buffer.from(`${state}${GOOD}`)));
  t.equal(await start(broken), undefined, 'the text of another file');
});

t.test('a file that somebody else can have written is not taken', async (t) => {
  const directory = t.testdir();
  const path = join(directory, ACCEPTED_CONFIG);
  const refused = Buffer.from(`state: {directory: ${directory}}\nclusters: [`);
  const request = { file: FILE, explicit: true, environment: {}, ownAddresses: [] };
  const read = () => readAcceptedConfig(request, refused, readOwnFile);
  t.equal(await read(), undefined, 'no file there');
  writeFileSync(path, encodeAcceptedConfig(FILE, text), { mode: 0o640 });
  t.same(await read(), text);
  chmodSync(path, 0o660);
  t.equal(await read(), undefined);
});
