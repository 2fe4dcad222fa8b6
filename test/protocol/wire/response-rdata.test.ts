import t from 'tap';
import { acceptResponse, indexResponse } from '../../../src/protocol/wire/response.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { RDATA_SAMPLES } from '../../helpers/rdata-samples.ts';
import { readStrictly } from '../../helpers/strict-parser.ts';
import { message, rawRecord } from '../../helpers/zone-text.ts';

const NAME = 'host.example';
const carrying = (type: number, rdata: Uint8Array | number[]) =>
  message({ question: [NAME, `TYPE${type}`], answers: [rawRecord(NAME, type, 60, rdata)] });
const isSound = (type: number, rdata: Uint8Array | number[]) =>
  indexResponse(carrying(type, rdata)).kind === 'response';

t.test('sound RDATA of every known type is taken as it is', async (t) => {
  for (const [type, rdata] of RDATA_SAMPLES) {
    const octets = carrying(type, rdata);
    const accepted = acceptResponse(octets);
    t.equal(accepted.kind, 'accepted', `TYPE${type} ${rdata.toString('hex')}`);
    if (accepted.kind === 'accepted') t.equal(accepted.octets, octets, `TYPE${type}: not even copied`);
    t.doesNotThrow(() => readStrictly(octets), `TYPE${type}: the strict parser agrees`);
  }
});

t.test('RDATA that is cut, or longer than its type allows, is broken', async (t) => {
  let cuts = 0;
  for (const [type, rdata] of RDATA_SAMPLES) {
    for (let length = 0; length < rdata.length; length++) {
      const cut = rdata.subarray(0, length);
      let strict = true;
      try {
        readStrictly(carrying(type, cut));
      } catch {
        strict = false;
      }
      const sound = isSound(type, cut);
      // what a strict reader refuses is refused; types that it does not know are judged by the product alone
      if (sound && !strict) t.fail(`TYPE${type} of ${length} octets is passed on`);
      if (!sound) cuts++;
    }
  }
  t.ok(cuts > 1000, `${cuts} cuts refused`);
});

/** The cases of the issue, and those beside them. */
const BROKEN: readonly (readonly [what: string, type: number, rdata: number[]])[] = [
  ['A of no octets', 1, []],
  ['A of 3', 1, [10, 0, 0]],
  ['A of 5', 1, [10, 0, 0, 1, 1]],
  ['AAAA of 15', 28, new Array<number>(15).fill(1)],
  ['AAAA of 4', 28, [1, 2, 3, 4]],
  ['SOA of 1', 6, [0]],
  ['SOA without numbers', 6, [0, 0]],
  ['MX of 1', 15, [0]],
  ['MX without a name', 15, [0, 10]],
  ['MX with octets after the name', 15, [0, 10, 0, 0]],
  ['CNAME of no octets', 5, []],
  ['CNAME that points to itself', 5, [0xc0, 12 + 18 + 24]],
  ['CNAME that points forward', 5, [0xcf, 0xff]],
  ['CNAME that points into the header', 5, [0xc0, 2]],
  ['CNAME with a reserved label type', 5, [0x41, 0x61, 0]],
  ['CNAME without its root', 5, [1, 0x61]],
  ['CNAME with octets after it', 5, [1, 0x61, 0, 0]],
  ['TXT of no octets', 16, []],
  ['TXT whose string overruns', 16, [3, 0x61]],
  ['SRV without a target', 33, [0, 0, 0, 0, 0, 53]],
  ['HINFO with one string', 13, [1, 0x61]],
  ['RRSIG without a signature', 46, [...new Array<number>(18).fill(0), 0]],
  ['NSEC without types', 47, [0]],
  ['NSEC with a block that ends in a zero', 47, [0, 0, 2, 0x40, 0]],
  ['NSEC with blocks out of order', 47, [0, 1, 1, 0x40, 0, 1, 0x40]],
  ['NSEC3 without a hash', 50, [1, 0, 0, 0, 0, 0]],
  ['DS with a digest of a wrong length', 43, [0, 1, 8, 2, ...new Array<number>(20).fill(1)]],
  ['CAA without a tag', 257, [0, 0]],
  ['CAA with a tag of other octets', 257, [0, 1, 0x2d]],
  ['HTTPS with keys out of order', 65, [0, 1, 0, 0, 3, 0, 2, 1, 187, 0, 1, 0, 3, 2, 0x68, 0x32]],
  ['HTTPS with a port of one octet', 65, [0, 1, 0, 0, 3, 0, 1, 1]],
  ['HTTPS with an empty alpn', 65, [0, 1, 0, 0, 1, 0, 1, 0]],
  ['HTTPS with an ipv4hint of 3', 65, [0, 1, 0, 0, 4, 0, 3, 1, 2, 3]],
  ['LOC of 15', 29, new Array<number>(15).fill(0)],
  ['LOC beyond the pole', 29, [0, 0x12, 0x16, 0x13, 0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]],
  ['APL whose item overruns', 42, [0, 1, 24, 3, 192]],
];

t.test('broken RDATA breaks the response, in whatever section it stands', async (t) => {
  for (const [what, type, rdata] of BROKEN) {
    const record = rawRecord(NAME, type, 60, rdata);
    const good = rawRecord(NAME, 1, 60, [10, 0, 0, 1]);
    for (const parts of [
      { answers: [record] },
      { answers: [good], authorities: [record] },
      { answers: [good], additionals: [record] },
    ]) {
      const accepted = acceptResponse(message({ question: [NAME, `TYPE${type}`], ...parts }));
      t.equal(accepted.kind, 'fault', `${what}, ${Object.keys(parts).at(-1)}`);
    }
  }
});

t.test('a record of another class, or of a type that only questions have, breaks the response', async (t) => {
  const chaos = rawRecord(NAME, 'A', 60, [10, 0, 0, 1]);
  chaos.writeUInt16BE(3, nameToWire(NAME).length + 2);
  t.match(acceptResponse(message({ question: [NAME, 'A'], answers: [chaos] })), {
    reason: 'class of a record differs from the question',
  });
  for (const type of [249, 250, 251, 252, 253, 254, 255]) {
    const octets = message({ question: [NAME, 'A'], answers: [rawRecord(NAME, type, 0, [])] });
    t.equal(acceptResponse(octets).kind, 'fault', `TYPE${type}`);
  }
});

t.test('RDATA of unknown types passes, whatever is in it (RFC 3597)', async (t) => {
  for (const type of [10, 31, 32, 100, 103, 1000, 65_280, 65_535]) {
    for (const rdata of [[], [0xc0, 0xff], new Array<number>(300).fill(0xff)]) t.ok(isSound(type, rdata));
  }
});
