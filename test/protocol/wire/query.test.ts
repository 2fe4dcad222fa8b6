import t from 'tap';
import { hashName, suffixEquals } from '../../../src/protocol/wire/message.ts';
import { composeQuery, parseQuery, Query, VERDICT } from '../../../src/protocol/wire/query.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { readHexFiles } from '../../helpers/hex-file.ts';
import { message, opt } from '../../helpers/zone-text.ts';

const verdictNames = new Map<number, string>(
  Object.entries(VERDICT).map(([name, value]) => [value, name.toLowerCase()]),
);

t.test('each malformed message gets the verdict in the first line of its file', async (t) => {
  const files = readHexFiles('queries');
  t.ok(files.length > 30, 'the files were found');
  for (const { name, verdict, octets } of files) {
    t.equal(verdictNames.get(parseQuery(new Query(), octets, 0, octets.length)), verdict, name);
  }
});

t.test('a verdict does not depend on where in the buffer the message lies', async (t) => {
  for (const { name, verdict, octets } of readHexFiles('queries')) {
    const slot = new Uint8Array(octets.length + 200).fill(0xff);
    slot.set(octets, 100);
    t.equal(verdictNames.get(parseQuery(new Query(), slot, 100, 100 + octets.length)), verdict, name);
  }
});

t.test('every suffix of a name is found, however many labels it has', async (t) => {
  const query = new Query();
  // around the room for usual names, at the limit, and short again in the room that a long one has left
  for (const labels of [1, 14, 15, 16, 17, 31, 32, 127, 3]) {
    const names = Array.from({ length: labels }, (_, at) => String.fromCharCode(97 + (at % 26)));
    const octets = message({ flags: 0x0100, question: [names.join('.'), 'A'] });
    t.equal(parseQuery(query, octets, 0, octets.length), VERDICT.OK);
    t.equal(query.labelCount, labels);
    for (let depth = 1; depth <= labels; depth++) {
      const suffix = nameToWire(names.slice(labels - depth).join('.'));
      const isFound = suffixEquals(query, depth, suffix) && query.suffixHashes[depth] === hashName(suffix);
      if (!isFound) t.fail(`the suffix of ${depth} labels of a name of ${labels}`);
    }
    t.ok(suffixEquals(query, 0, nameToWire('.')), `${labels} labels`);
  }
});

t.test('a query is read field by field', async (t) => {
  const octets = message({
    id: 0xbeef,
    flags: 0x0130,
    question: ['a.b.example', 'AAAA'],
    additionals: [opt({ size: 4096, doBit: true })],
  });
  octets[13] = 0x41; // A
  const query = new Query();
  t.equal(parseQuery(query, octets, 0, octets.length), VERDICT.OK);
  t.match(query, {
    id: 0xbeef,
    qtype: 28,
    qclass: 1,
    labelCount: 3,
    hasEdns: true,
    udpLimit: 1232,
    dnssecOk: true,
    recursionDesired: true,
    checkingDisabled: true,
  });
  t.equal(query.nameText(), 'a.b.example', 'the text is lower case');
  t.equal(query.nameHash, hashName(nameToWire('a.b.example')), 'the hash ignores case');
  t.ok(suffixEquals(query, 2, nameToWire('b.example')));
  t.notOk(suffixEquals(query, 2, nameToWire('c.example')));
  t.ok(suffixEquals(query, 0, nameToWire('.')));
});

t.test('what a client can take over UDP', async (t) => {
  for (const [size, limit] of [
    [0, 512],
    [511, 512],
    [512, 512],
    [1000, 1000],
    [1232, 1232],
    [65_535, 1232],
  ] as const) {
    const octets = message({ flags: 0x0100, question: ['a', 'A'], additionals: [opt({ size })] });
    const query = new Query();
    parseQuery(query, octets, 0, octets.length);
    t.equal(query.udpLimit, limit, `offered ${size}`);
  }
});

t.test('a reused query keeps nothing of the one before', async (t) => {
  const query = new Query();
  const first = message({
    flags: 0x0110,
    question: ['a.b.c.d', 'AAAA'],
    additionals: [opt({ doBit: true })],
  });
  const second = message({ flags: 0x0000, question: ['x.y', 'A'] });
  parseQuery(query, first, 0, first.length);
  parseQuery(query, second, 0, second.length);
  t.match(query, { hasEdns: false, dnssecOk: false, udpLimit: 512, labelCount: 2, checkingDisabled: false });
  t.equal(query.nameHash, hashName(nameToWire('x.y')));
});

t.test('a copy outlives the buffer it came from', async (t) => {
  const octets = message({ flags: 0x0100, question: ['keep.me', 'A'] });
  const query = new Query();
  parseQuery(query, octets, 0, octets.length);
  const copy = query.copy();
  octets.fill(0);
  t.equal(copy.nameText(), 'keep.me');
});

t.test('a composed query parses back to its parts', async (t) => {
  for (const edns of [undefined, { dnssecOk: false }, { dnssecOk: true }]) {
    const octets = composeQuery({
      id: 7,
      name: nameToWire('www.example'),
      qtype: 64,
      qclass: 1,
      recursionDesired: true,
      checkingDisabled: true,
      ...(edns === undefined ? {} : { edns }),
    });
    const query = new Query();
    t.equal(parseQuery(query, octets, 0, octets.length), VERDICT.OK);
    t.match(query, {
      id: 7,
      qtype: 64,
      qclass: 1,
      recursionDesired: true,
      checkingDisabled: true,
      hasEdns: edns !== undefined,
      dnssecOk: edns?.dnssecOk ?? false,
    });
    t.equal(query.nameText(), 'www.example');
  }
});
