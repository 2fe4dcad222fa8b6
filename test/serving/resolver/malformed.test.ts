import fc from 'fast-check';
import t from 'tap';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import { queryOf, wireName } from './messages.ts';
import { addresses, ENDPOINT, endpointRecord, Rig } from './rig.ts';

const newRig = () => new Rig({ records: [endpointRecord({ addresses: ['10.0.0.1', '10.0.0.2'] })] });

const good = queryOf({ name: ENDPOINT });
const withEdns = queryOf({ name: ENDPOINT, edns: {} });
const OPT = withEdns.subarray(good.length);

/** A copy with 16-bit fields of the header set. */
function header(query: Buffer, fields: Readonly<Record<number, number>>): Buffer {
  const copy = Buffer.from(query);
  for (const [at, value] of Object.entries(fields)) copy.writeUInt16BE(value, Number(at));
  return copy;
}

/** A query for A in class IN with these octets for a name. */
function named(...octets: number[]): Buffer {
  return Buffer.concat([good.subarray(0, 12), Buffer.from(octets), Buffer.from([0, 1, 0, 1])]);
}

const longLabel = [63, ...Buffer.alloc(63, 0x78)];

t.test('FORMERR, made from the raw header', async (t) => {
  const table: Readonly<Record<string, Buffer>> = {
    'header alone, QDCOUNT 1': good.subarray(0, 12),
    'header alone, QDCOUNT 0': header(good.subarray(0, 12), { 4: 0 }),
    'QDCOUNT 0 with a question': header(good, { 4: 0 }),
    'QDCOUNT 2': header(Buffer.concat([good, good.subarray(12)]), { 4: 2 }),
    'QDCOUNT 65535': header(good, { 4: 0xffff }),
    'an answer in a query': header(good, { 6: 1 }),
    'an authority in a query': header(good, { 8: 1 }),
    'question cut in the name': good.subarray(0, 20),
    'question cut before QTYPE': good.subarray(0, good.length - 4),
    'question cut in QCLASS': good.subarray(0, good.length - 1),
    'a compression pointer in the question': named(0xc0, 0x0c),
    'a pointer after a label': named(3, 0x77, 0x77, 0x77, 0xc0, 0x0c),
    'a label type of 01': named(0x41, 0, 0),
    'a label type of 10': named(0x81, 0, 0),
    'a name of 256 octets': named(...longLabel, ...longLabel, ...longLabel, 62, ...Buffer.alloc(62, 0x78), 0),
    'two OPT records': header(Buffer.concat([withEdns, OPT]), { 10: 2 }),
    'an OPT that is not of the root': header(Buffer.concat([good, wireName('a'), OPT.subarray(1)]), {
      10: 1,
    }),
    'an OPT cut short': withEdns.subarray(0, withEdns.length - 3),
    'an OPT whose RDATA is missing': Buffer.concat([
      withEdns.subarray(0, withEdns.length - 2),
      Buffer.of(0, 9),
    ]),
    'an option that overruns': queryOf({ name: ENDPOINT, edns: { options: [0xfd, 0xe8, 0xff, 0xff, 1] } }),
    'half an option header': queryOf({ name: ENDPOINT, edns: { options: [0xfd, 0xe8, 0] } }),
    'a cookie of 15 octets': queryOf({
      name: ENDPOINT,
      edns: { options: [0, 10, 0, 15, ...new Uint8Array(15)] },
    }),
    'ARCOUNT without a record': header(good, { 10: 1 }),
    'five additional records': header(Buffer.concat([good, ...Array<Buffer>(5).fill(record())]), { 10: 5 }),
  };
  for (const [defect, octets] of Object.entries(table)) {
    const rig = newRig();
    const reply = rig.now(octets);
    t.match(
      reply,
      { rcode: RCODE.FORMERR, id: 0x2b67, qr: true, ra: true, rd: true, aa: false, tc: false },
      defect,
    );
    t.match(reply, { answers: [], authorities: [], additionals: [], opt: undefined }, defect);
    t.match(rig.resolver.counters.read(), { origins: { malformed: 1 }, rcodes: { FORMERR: 1 } }, defect);
  }
});

/** A TSIG record of the least size: an additional record that is not ours to know. */
function record(): Buffer {
  return Buffer.from([0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0]);
}

t.test('FORMERR copies RD and nothing else of the flags', async (t) => {
  for (const [flags, rd] of [
    [0x0000, false],
    [0x0100, true],
    [0x07ff, true],
    [0x06ff, false],
  ] as const) {
    const reply = newRig().now(header(good.subarray(0, 12), { 2: flags }));
    t.match(reply, {
      rcode: RCODE.FORMERR,
      rd,
      aa: false,
      tc: false,
      z: false,
      ad: false,
      cd: false,
      ra: true,
    });
  }
});

t.test(
  'never FORMERR for sound EDNS: unknown options, unknown flags and other additional records are ignored',
  async (t) => {
    const table: Readonly<Record<string, Buffer>> = {
      'an unknown option': queryOf({ name: ENDPOINT, edns: { options: [0xfd, 0xe8, 0, 1, 7] } }),
      'all Z flags': Buffer.from(withEdns).fill(0x7f, withEdns.length - 4, withEdns.length - 3),
      'an extended RCODE in a query': Buffer.from(withEdns).fill(
        0xff,
        withEdns.length - 6,
        withEdns.length - 5,
      ),
      'TSIG after OPT': header(Buffer.concat([withEdns, record()]), { 10: 2 }),
      'TSIG before OPT': header(Buffer.concat([good, record(), OPT]), { 10: 2 }),
      'octets after the last record': Buffer.concat([withEdns, Buffer.alloc(40, 0xee)]),
    };
    for (const [oddity, octets] of Object.entries(table)) {
      const reply = newRig().now(octets);
      t.match(reply, { rcode: RCODE.NOERROR, answers: { length: 2 }, opt: { version: 0, rest: 0 } }, oddity);
    }
  },
);

t.test('NOTIMP for every opcode but QUERY, whatever follows', async (t) => {
  for (let opcode = 1; opcode < 16; opcode++) {
    for (const octets of [good, good.subarray(0, 12), withEdns]) {
      const reply = newRig().now(header(octets, { 2: (opcode << 11) | 0x0100 }));
      t.match(reply, { rcode: RCODE.NOTIMP, opcode, qr: true, rd: false, ra: false, aa: false, answers: [] });
    }
  }
});

t.test('no reply: shorter than a header, or a response', async (t) => {
  const rig = newRig();
  for (let length = 0; length < 12; length++)
    t.equal(rig.now(good.subarray(0, length)), 'none', `${length} octets`);
  for (const flags of [0x8000, 0x8180, 0xf800, 0xffff])
    t.equal(rig.now(header(good, { 2: flags })), 'none', `flags ${flags.toString(16)}`);
  t.match(
    Object.values(rig.resolver.counters.read().origins).every((count) => count === 0),
    true,
  );
});

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 1500);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

t.test('any octets: a well-formed reply in time, or none, and never a throw', async (t) => {
  const seeds = [good, withEdns, queryOf({ name: 'www.example.com', edns: { dnssecOk: true } }), named(0)];
  const rig = newRig();
  rig.says = (question) => addresses(question, ['192.0.2.1']);
  const change = fc.record({ at: fc.nat(120), octet: fc.nat(255) });
  const octets = fc
    .record({
      query: fc.constantFrom(...seeds),
      changes: fc.array(change, { maxLength: 5 }),
      cut: fc.nat(160),
    })
    .map(({ query, changes, cut }) => {
      const copy = Buffer.from(query.subarray(0, cut));
      for (const { at, octet } of changes) if (at < copy.length) copy[at] = octet;
      return copy;
    });
  fc.assert(
    fc.property(octets, fc.constantFrom('udp' as const, 'tcp' as const), (query, transport) => {
      const reply = rig.now(query, transport);
      if (typeof reply === 'string') return;
      if (reply.id !== query.readUInt16BE(0)) throw new Error('another ID');
      if (!reply.qr || reply.ra !== (reply.opcode === 0)) throw new Error('not a response of ours');
    }),
    { numRuns, seed },
  );
  t.pass(`${numRuns} runs`);
});
