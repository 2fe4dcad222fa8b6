import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { leaveOut } from '../../../src/protocol/wire/leave-out.ts';
import { withoutProofs } from '../../../src/protocol/wire/reply.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import type { ResponseIndex } from '../../../src/protocol/wire/response-records.ts';
import { readReply } from '../../serving/resolver/messages.ts';

/** A message composed label by label, so that every pointer is where the test wants it. */
class Pen {
  readonly octets: number[] = [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0];
  readonly places = new Map<string, number>();

  /** `at` remembers where the name begins; a last label `>place` is a pointer. */
  name(text: string, place?: string): this {
    if (place !== undefined) this.places.set(place, this.octets.length);
    for (const label of text.split('.')) {
      if (label.startsWith('>')) {
        const target = this.places.get(label.slice(1))!;
        this.octets.push(0xc0 | (target >> 8), target & 0xff);
        return this;
      }
      this.octets.push(label.length, ...Buffer.from(label));
    }
    this.octets.push(0);
    return this;
  }

  put(...octets: number[]): this {
    this.octets.push(...octets);
    return this;
  }

  type(number: number): this {
    return this.put(number >> 8, number & 0xff, 0, 1);
  }

  record(section: number, owner: string, type: number, rdata: () => void, place?: string): this {
    const count = 6 + section * 2;
    this.octets[count + 1]!++;
    this.name(owner, place).type(type).put(0, 0, 0, 60, 0, 0);
    const start = this.octets.length;
    rdata();
    const length = this.octets.length - start;
    this.octets[start - 2] = length >> 8;
    this.octets[start - 1] = length & 0xff;
    return this;
  }

  message(): Uint8Array {
    return Uint8Array.from(this.octets);
  }
}

const A = 1;
const NS = 2;
const CNAME = 5;
const SOA = 6;
const SRV = 33;
const RRSIG = 46;
const NSEC = 47;

function index(octets: Uint8Array): ResponseIndex {
  const found = indexResponse(octets);
  if (found.kind === 'fault') throw new Error(found.reason);
  return found;
}

/** RRSIG with a signer whose name later names may point to. */
const signature = (pen: Pen, signer: string, place: string) => () =>
  pen
    .put(...new Array<number>(18).fill(7))
    .name(signer, place)
    .put(1, 2, 3);

t.test('what stays reads as before, whatever its names pointed to', async (t) => {
  const pen = new Pen().name('www.shop.example', 'q').type(A);
  pen.record(0, '>q', CNAME, () => pen.name('edge.cdn.test', 'edge'));
  pen.record(0, '>q', RRSIG, signature(pen, 'signer.shop.example', 'signer'), 'sigowner');
  pen.record(0, '>edge', A, () => pen.put(10, 0, 0, 1));
  pen.record(0, '>edge', RRSIG, signature(pen, 'cdn.zone', 'cdn'));
  pen.record(1, '>signer', NS, () => pen.name('ns1.>cdn', 'ns1'));
  pen.record(1, '>signer', NS, () => pen.name('ns2.>cdn', 'ns2'));
  pen.record(1, 'a.>cdn', NSEC, () => pen.name('b.zone', 'b').put(0, 1, 0x40), 'nsec');
  pen.record(1, '>nsec', SOA, () =>
    pen
      .name('p.>b')
      .name('m.>nsec')
      .put(...new Array<number>(20).fill(9)),
  );
  pen.record(2, '>ns1', A, () => pen.put(10, 0, 0, 2));
  const octets = pen.message();
  const before = readReply(octets);
  const rest = withoutProofs({ octets, index: index(octets) })!;
  const after = readReply(rest.octets);
  const stays = ({ type }: { type: string }) => type !== 'RRSIG' && type !== 'NSEC';
  t.strictSame(after.answers, before.answers.filter(stays));
  t.strictSame(after.authorities, before.authorities.filter(stays));
  t.strictSame(after.additionals, before.additionals);
  t.ok(rest.octets.length < octets.length);
});

t.test('types that the query asks for stay without DO (RFC 4035 section 3.2.1)', async (t) => {
  for (const [qtype, left] of [
    [RRSIG, ['RRSIG']],
    [NSEC, ['NSEC']],
    [255, ['RRSIG', 'NSEC', 'A']],
    [A, ['A']],
  ] as const) {
    const pen = new Pen().name('x.example', 'q').type(qtype);
    pen.record(0, '>q', RRSIG, signature(pen, 'example', 's'));
    pen.record(0, '>q', NSEC, () => pen.name('y.example').put(0, 1, 0x40));
    pen.record(0, '>q', A, () => pen.put(10, 0, 0, 1));
    pen.record(1, '>s', RRSIG, signature(pen, '>s', 't'));
    const octets = pen.message();
    const rest = withoutProofs({ octets, index: index(octets) })!;
    const names = readReply(rest.octets).answers.map(({ type }) => type);
    t.strictSame(
      names.filter((name) => name !== 'A' || qtype === 255 || qtype === A),
      left,
    );
    if (qtype !== RRSIG) t.strictSame(readReply(rest.octets).authorities, []);
  }
});

t.test('a message without such records is given as it is', async (t) => {
  const pen = new Pen().name('x.example', 'q').type(A);
  pen.record(0, '>q', A, () => pen.put(10, 0, 0, 1));
  const octets = pen.message();
  t.equal(withoutProofs({ octets, index: index(octets) })?.octets, octets);
});

t.test('property: any records may go, and the others read as they did', async () => {
  const labels = ['a', 'bb', 'example', 'net'];
  const nameText = fc.array(fc.constantFrom(...labels), { minLength: 1, maxLength: 4 });
  const record = fc.record({
    section: fc.nat(2),
    type: fc.constantFrom(A, NS, CNAME, SOA, SRV, RRSIG, 65_280),
    owner: nameText,
    target: nameText,
    pointAt: fc.nat(200),
    targetPointAt: fc.nat(200),
  });
  fc.assert(
    fc.property(fc.array(record, { maxLength: 12 }), fc.nat(0xffff), (records, leaveMask) => {
      const pen = new Pen().name('www.example.net', 'place0').type(A);
      let places = 1;
      const text = (own: readonly string[], pointAt: number) =>
        pointAt < 100 ? own.join('.') : [...own, `>place${pointAt % places}`].join('.');
      const sorted = [...records].sort((one, other) => one.section - other.section);
      for (const { section, type, owner, target, pointAt, targetPointAt } of sorted) {
        const ownText = text(owner, pointAt);
        const put = (count: number) => pen.put(...new Array<number>(count).fill(5));
        const rdata = () => {
          if (type === A || type === 65_280) return void put(4);
          const before = type === SRV ? 6 : type === RRSIG ? 18 : 0;
          put(before);
          pen.name(text(target, targetPointAt), `place${places++}`);
          if (type === SOA) {
            pen.name(text(target, targetPointAt), `place${places++}`);
            put(20);
          }
          if (type === RRSIG) put(3);
        };
        const place = `place${places}`;
        pen.record(section, ownText, type, rdata, place);
        // a place may be pointed to only once it is written
        places = Math.max(places, Number(place.slice(5)) + 1);
      }
      const octets = pen.message();
      const found = indexResponse(octets);
      if (found.kind === 'fault') return; // a name of too many pointers or octets, which nobody may send
      let number = 0;
      const left = new Set<number>();
      const rest = leaveOut(octets, found, () => {
        const isLeft = ((leaveMask >> (number % 16)) & 1) === 1;
        if (isLeft) left.add(number);
        number++;
        return isLeft;
      });
      if (rest === undefined) throw new Error('refused');
      let seen = 0;
      const expected = recordsOf(octets).filter(() => !left.has(seen++));
      if (!isDeepStrictEqual(recordsOf(rest), expected)) throw new Error('another record than before');
    }),
    { numRuns: Number(process.env['FUZZ_RUNS'] ?? 300) },
  );
});

/** Every record with its names spelled out, whatever their types. */
function recordsOf(message: Uint8Array): string[] {
  const octets = Buffer.from(message);
  let at = nameEndAt(octets, 12) + 4;
  const records: string[] = [];
  for (let section = 0; section < 3; section++) {
    for (let left = octets.readUInt16BE(6 + section * 2); left > 0; left--) {
      const typeAt = nameEndAt(octets, at);
      const type = octets.readUInt16BE(typeAt);
      const end = typeAt + 10 + octets.readUInt16BE(typeAt + 8);
      const names = { [NS]: 1, [CNAME]: 1, [SOA]: 2, [SRV]: 1, [RRSIG]: 1 }[type] ?? 0;
      let from = typeAt + 10 + ({ [SRV]: 6, [RRSIG]: 18 }[type] ?? 0);
      const data = [octets.subarray(typeAt + 10, from).toString('hex')];
      for (let name = 0; name < names; name++) {
        data.push(spell(octets, from));
        from = nameEndAt(octets, from);
      }
      data.push(octets.subarray(from, end).toString('hex'));
      records.push([section, spell(octets, at), type, ...data].join(' '));
      at = end;
    }
  }
  if (at !== octets.length) throw new Error('octets after the last record');
  return records;
}

function nameEndAt(octets: Buffer, start: number): number {
  let at = start;
  while (octets[at]! !== 0) {
    if (octets[at]! >= 0xc0) return at + 2;
    at += octets[at]! + 1;
  }
  return at + 1;
}

function spell(octets: Buffer, start: number): string {
  const length = octets[start]!;
  if (length === 0) return '';
  if (length >= 0xc0) {
    const target = octets.readUInt16BE(start) & 0x3fff;
    if (target >= start) throw new Error('a pointer that does not point back');
    return spell(octets, target);
  }
  const label = octets.subarray(start + 1, start + 1 + length).toString('latin1');
  return `${label}.${spell(octets, start + 1 + length)}`;
}
