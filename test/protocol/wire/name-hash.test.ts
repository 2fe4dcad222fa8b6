import { execFileSync } from 'node:child_process';
import t from 'tap';
import { hashName } from '../../../src/protocol/wire/message.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';

const hash = (name: string): number => hashName(nameToWire(name));

/** What another process, with a key of its own, says. */
function elsewhere(program: string): unknown {
  const code = `
    const { hashName } = await import('${new URL('../../../src/protocol/wire/message.ts', import.meta.url)}');
    const { nameToWire } = await import('${new URL('../../../src/protocol/words/name.ts', import.meta.url)}');
    const hash = (name) => hashName(nameToWire(name));
    ${program}`;
  return JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' }),
  );
}

t.test('names that share a hash in one process do not in another', async (t) => {
  const pairs = elsewhere(`
    const seen = new Map();
    const pairs = [];
    for (let n = 0; pairs.length < 8; n++) {
      const name = 'n' + n + '.example';
      const other = seen.get(hash(name));
      if (other !== undefined) pairs.push([name, other]);
      seen.set(hash(name), name);
    }
    console.log(JSON.stringify(pairs));
  `) as [string, string][];
  t.equal(pairs.length, 8);
  const shared = pairs.filter(([one, other]) => hash(one) === hash(other));
  t.strictSame(shared, [], 'found by trying, with the key at hand, and of no use to anybody else');
  const names = ['.', 'example', 'www.example.com'];
  const others = elsewhere(`console.log(JSON.stringify(${JSON.stringify(names)}.map(hash)))`);
  t.notSame(others, names.map(hash));
});

t.test('labels that run together, cases, and where a label ends', async (t) => {
  t.equal(hash('WWW.Example.COM'), hash('www.example.com'));
  const alike = ['ab.c', 'a.bc', 'abc', 'a.b.c', 'c.ab', 'abc.', 'ab.c.c', 'aaa', 'aaaa', 'aaaaa'];
  const wires = alike.map((name) => hash(name));
  t.equal(new Set(wires).size, new Set(alike.map((name) => name.replace(/\.$/, ''))).size);
});

t.test('names that differ little are spread evenly', async (t) => {
  const buckets = new Uint32Array(1024);
  const names = 200_000;
  const seen = new Set<number>();
  for (let n = 0; n < names; n++) {
    const value = hash(`ip-10-0-${n >> 8}-${n & 255}.eu-west-1.compute.internal`);
    seen.add(value);
    buckets[(value >>> 3) & 1023]!++;
  }
  const expected = names / buckets.length;
  const chiSquare = buckets.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  // 1,023 degrees of freedom: mean 1,023, standard deviation 45; ten of these are never seen by chance
  t.ok(chiSquare < 1_473, `chi square ${chiSquare.toFixed(0)}`);
  // 4.7 pairs are expected by chance
  t.ok(names - seen.size < 40, `${names - seen.size} shared hashes`);
});
