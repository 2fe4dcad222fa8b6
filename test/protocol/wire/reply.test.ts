import { Packet } from 'dns2';
import t from 'tap';
import { composeLocalAnswer } from '../../../src/protocol/wire/local-answer.ts';
import { parseQuery, Query } from '../../../src/protocol/wire/query.ts';
import {
  writeEmptyReply,
  writeHeaderOnlyReply,
  writeLocalReply,
  writePatchedReply,
} from '../../../src/protocol/wire/reply.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import { message, opt, rawRecord, rr } from '../../helpers/zone-text.ts';

function queryOf(octets: Uint8Array): Query {
  const query = new Query();
  parseQuery(query, octets, 0, octets.length);
  return query;
}

const reply = new Uint8Array(65_535);
const written = (length: number, start = 0) => Buffer.from(reply.slice(start, start + length));

t.test(
  'an empty reply echoes the question octet for octet and has OPT exactly when the query had',
  async (t) => {
    const plain = message({ flags: 0x0110, question: ['a.b', 'A'] });
    plain[13] = 0x41;
    const bare = written(writeEmptyReply(queryOf(plain), 2, 23, reply, 0));
    t.equal(bare.toString('hex'), '123481920001000000000000014101620000010001');
    const edns = written(
      writeEmptyReply(
        queryOf(message({ flags: 0x0100, question: ['a', 'A'], additionals: [opt({ doBit: true })] })),
        2,
        23,
        reply,
        0,
      ),
    );
    t.equal(
      edns.toString('hex'),
      '1234818200010000000000010161000001000100002904d0000080000006000f00020017'.replace(
        '01610000010001',
        '01610000010001',
      ),
    );
  },
);

t.test('BADVERS carries its upper bits in OPT (RFC 6891 section 6.1.3)', async (t) => {
  const octets = written(
    writeEmptyReply(
      queryOf(message({ flags: 0, question: ['a', 'A'], additionals: [opt({ version: 1 })] })),
      16,
      undefined,
      reply,
      0,
    ),
  );
  const index = indexResponse(new Uint8Array(octets));
  t.match(index, { kind: 'response', rcode: 16 });
});

t.test('a bare header: ID and OPCODE copied; RD and RA to queries alone', async (t) => {
  const length = (flags: number) =>
    writeHeaderOnlyReply(Uint8Array.of(0xab, 0xcd, flags, 0xff, 9, 9, 9, 9, 9, 9, 9, 9), 0, 1, reply, 0);
  t.equal(written(length(0x07)).toString('hex'), 'abcd81810000000000000000');
  t.equal(written(length(0x29)).toString('hex'), 'abcda8010000000000000000', 'OPCODE UPDATE');
});

t.test('a stored response becomes a reply: ID, case, aged TTLs and OPT; RDATA untouched', async (t) => {
  const stored = new Uint8Array(
    message({
      id: 1,
      flags: 0x85a0,
      question: ['a.b', 'TXT'],
      answers: [rawRecord('a.b', 4711, 100, [1, 2, 3]), rawRecord('a.b', 'A', 20, [10, 0, 0, 1])],
    }),
  );
  const before = stored.slice();
  const index = indexResponse(stored);
  if (index.kind === 'fault') throw new Error(index.reason);
  const asked = message({ id: 0x7777, flags: 0x0100, question: ['a.b', 'TXT'], additionals: [opt()] });
  asked[13] = 0x41;
  const options = { ttl: { ageSeconds: 50 }, extendedError: 3, trustAuthenticatedData: false, limit: 1232 };
  const octets = written(writePatchedReply(queryOf(asked), stored, index, options, reply, 7), 7);
  const again = indexResponse(new Uint8Array(octets));
  if (again.kind === 'fault') throw new Error(again.reason);
  t.equal(octets.readUInt16BE(0), 0x7777);
  t.equal(octets.readUInt16BE(2), 0x8180, 'AA and AD of the upstream are not passed on');
  t.equal(octets[13], 0x41);
  t.strictSame(
    [...again.ttlOffsets].map((offset) => octets.readUInt32BE(offset)),
    [50, 0],
    'aged, floor zero',
  );
  t.ok(octets.includes(Buffer.from([0, 3, 1, 2, 3])));
  t.ok(again.hasEdns);
  t.strictSame(stored, before, 'the stored octets did not change');
});

t.test('a reply that does not fit is TC with question and OPT only', async (t) => {
  const stored = new Uint8Array(
    message({ question: ['a', 'TXT'], answers: [rawRecord('a', 'TXT', 1, Buffer.alloc(600))] }),
  );
  const index = indexResponse(stored);
  if (index.kind === 'fault') throw new Error(index.reason);
  const query = queryOf(message({ flags: 0x0100, question: ['a', 'TXT'] }));
  const options = {
    ttl: { ttlSeconds: 30 },
    extendedError: undefined,
    trustAuthenticatedData: false,
    limit: query.udpLimit,
  };
  const octets = written(writePatchedReply(query, stored, index, options, reply, 0));
  t.equal(octets.readUInt16BE(2) & 0x0200, 0x0200);
  t.equal(octets.length, 19);
});

t.test('a local answer rotates its addresses and keeps the dead ones last', async (t) => {
  const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.9'];
  const answer = composeLocalAnswer({
    rcode: 0,
    name: 'api.example',
    answers: addresses.map((address) => rr(`api.example 60 A ${address}`)),
    authorities: [],
    rotated: 3,
  });
  const query = queryOf(message({ flags: 0x0100, question: ['API.example', 'A'], additionals: [opt()] }));
  const orders = [0, 1, 2, 3].map((turn) =>
    Packet.parse(written(writeLocalReply(query, answer, turn, 512, reply, 0))).answers.map(
      (record) => record.address,
    ),
  );
  t.strictSame(orders, [
    ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.9'],
    ['10.0.0.2', '10.0.0.3', '10.0.0.1', '10.0.0.9'],
    ['10.0.0.3', '10.0.0.1', '10.0.0.2', '10.0.0.9'],
    ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.9'],
  ]);
});

t.test('an answer composed for an apex serves names under it: every pointer moves along', async (t) => {
  const soa = rr('api.example 60 SOA api.example hostmaster.api.example 7 1 2 3 60');
  const answer = composeLocalAnswer({ rcode: 3, name: 'api.example', answers: [], authorities: [soa] });
  for (const name of ['api.example', 'x.api.example', 'a.bb.ccc.api.example']) {
    const octets = written(
      writeLocalReply(queryOf(message({ flags: 0, question: [name, 'A'] })), answer, 0, 512, reply, 0),
    );
    const packet = Packet.parse(octets);
    t.match(packet.header, { rcode: 3, aa: 1, ra: 1 });
    t.match(packet.authorities, [
      { name: 'api.example', primary: 'api.example', admin: 'hostmaster.api.example', minimum: 60 },
    ]);
  }
});

t.test('every kind of record of ours is composed and reads back', async (t) => {
  const records = [
    rr('n.example 5 A 10.0.0.1'),
    rr('n.example 5 AAAA fd00::1'),
    rr('n.example 5 PTR p.example'),
    rr('n.example 5 NS s.example'),
    rr('n.example 5 MX 10 m.example'),
    rr('n.example 5 TXT one two'),
    rr('n.example 5 HINFO RFC8482 x'),
  ];
  const answer = composeLocalAnswer({ rcode: 0, name: 'n.example', answers: records, authorities: [] });
  const packet = Packet.parse(
    written(
      writeLocalReply(
        queryOf(message({ flags: 0, question: ['n.example', 'ANY'] })),
        answer,
        0,
        4096,
        reply,
        0,
      ),
    ),
  );
  t.match(packet.answers, [
    { address: '10.0.0.1' },
    { address: 'fd00::1' },
    { domain: 'p.example' },
    { ns: 's.example' },
    { priority: 10, exchange: 'm.example' },
    { data: ['one', 'two'] },
    { type: 13 },
  ]);
  t.throws(() => composeLocalAnswer({ rcode: 0, name: 'a\\.b', answers: [], authorities: [] }), /escaped/);
});
