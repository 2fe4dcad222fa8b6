import fc from 'fast-check';
import t from 'tap';
import {
  composeUpstreamQuery,
  type Exchange,
  type ExchangeEnd,
  matchReply,
  questionEndOf,
  questionOf,
} from '../../../src/serving/forwarder/exchange.ts';
import { rawRecord } from '../../helpers/zone-text.ts';
import { clientQuery } from './hand-made-upstream.ts';
import { OneExchange } from './one-exchange.ts';

const ID = 0xbeef;

/** How the message ends the exchange, in a word. */
function kindOf(waiting: Exchange, octets: Uint8Array): ExchangeEnd['kind'] | 'mismatched' | 'malformed' {
  const end = matchReply(waiting, octets, 0);
  if (end?.kind === 'failed' && end.reason === 'malformed') return 'malformed';
  return end?.kind ?? 'mismatched';
}

function exchange({ exactCase = false, withEdns = true } = {}): Exchange {
  const question = questionOf(clientQuery('Name.Example'));
  const message = composeUpstreamQuery(question, {
    withEdns,
    caseFrom: undefined,
    padded: false,
    authenticated: false,
  });
  message[0] = ID >> 8;
  message[1] = ID & 0xff;
  const made = new OneExchange(message, questionEndOf(question), exactCase);
  made.id = ID;
  return made;
}

/** The right reply, then changed. */
function reply(change: (octets: Buffer) => Buffer | undefined = () => undefined): Buffer {
  const { message, questionEnd } = exchange();
  const octets = Buffer.concat([
    message.subarray(0, questionEnd),
    rawRecord('name.example', 'A', 60, [10, 0, 0, 1]),
  ]);
  octets.writeUInt16BE(0x8180, 2);
  octets.writeUInt16BE(1, 6);
  octets.writeUInt16BE(0, 10);
  return change(octets) ?? octets;
}

const put = (at: number, value: number) => (octets: Buffer) => {
  octets.writeUInt16BE(value, at);
  return octets;
};
const bareHeader = (rcode: number) => (octets: Buffer) =>
  put(4, 0)(put(2, 0x8180 | rcode)(octets)).subarray(0, 12);
const inOtherCase = (octets: Buffer) => {
  octets.write('nAME', 13);
  return octets;
};

t.test(
  'a reply is taken exactly when ID, QR, OPCODE and question are right (RFC 5452 section 9.1)',
  async (t) => {
    for (const [what, octets, kind] of [
      ['the right reply', reply(), 'reply'],
      ['name in other case', reply(inOtherCase), 'reply'],
      ['wrong ID', reply(put(0, ID ^ 1)), 'mismatched'],
      ['QR clear', reply(put(2, 0x0100)), 'mismatched'],
      ['other OPCODE', reply(put(2, 0xa180)), 'mismatched'],
      ['two questions', reply(put(4, 2)), 'malformed'],
      ['no question', reply(put(4, 0)), 'malformed'],
      ['other name', reply((o) => void o.write('Nome', 13)), 'mismatched'],
      ['other type', reply(put(26, 28)), 'mismatched'],
      ['other class', reply(put(28, 3)), 'mismatched'],
      ['name cut short', reply((o) => o.subarray(0, 20)), 'mismatched'],
      ['header cut short', reply((o) => o.subarray(0, 11)), 'mismatched'],
      ['empty', Buffer.alloc(0), 'mismatched'],
      ['record beyond the end', reply(put(6, 2)), 'malformed'],
      ['record cut short', reply((o) => o.subarray(0, -1)), 'malformed'],
      ['a bare FORMERR', reply(bareHeader(1)), 'edns-refused'],
      ['a bare NOTIMP', reply(bareHeader(4)), 'edns-refused'],
      ['a bare SERVFAIL', reply(bareHeader(2)), 'malformed'],
      [
        'a bare FORMERR with octets after it',
        Buffer.concat([reply(bareHeader(1)), Buffer.of(0)]),
        'malformed',
      ],
    ] as const)
      t.equal(kindOf(exchange(), octets), kind, what);
  },
);

t.test('types are numbers, also where their octets look like letters', async (t) => {
  const question = questionOf(clientQuery('a', { qtype: 0x41 }));
  const message = composeUpstreamQuery(question, {
    withEdns: false,
    caseFrom: undefined,
    padded: false,
    authenticated: false,
  });
  const waiting = new OneExchange(message, questionEndOf(question), false);
  const octets = Buffer.from(message);
  octets.writeUInt16BE(0x8180, 2);
  t.equal(kindOf(waiting, octets), 'reply');
  octets.writeUInt16BE(0x61, octets.length - 4);
  t.equal(kindOf(waiting, octets), 'mismatched');
});

t.test('with 0x20 the case has to be the same', async (t) => {
  t.equal(kindOf(exchange({ exactCase: true }), reply()), 'reply');
  t.equal(kindOf(exchange({ exactCase: true }), reply(inOtherCase)), 'case-lost');
});

t.test('a bare FORMERR says nothing about a query without EDNS', async (t) => {
  t.equal(kindOf(exchange({ withEdns: false }), reply(bareHeader(1))), 'malformed');
});

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 3000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

t.test('no octets make it throw, and none are taken that differ where they must match', async () => {
  const right = reply();
  const changed = fc
    .record({
      changes: fc.array(fc.record({ at: fc.nat(right.length - 1), octet: fc.nat(255) }), { maxLength: 6 }),
      cut: fc.option(fc.nat(right.length)),
    })
    .map(({ changes, cut }) => {
      const octets = Buffer.from(right.subarray(0, cut ?? right.length));
      for (const { at, octet } of changes) if (at < octets.length) octets[at] = octet;
      return octets;
    });
  const waiting = exchange();
  const mustMatch = (octets: Buffer): boolean =>
    octets.length >= waiting.questionEnd &&
    octets.readUInt16BE(0) === ID &&
    (octets.readUInt16BE(2) & 0xf800) === 0x8000 &&
    octets.readUInt16BE(4) === 1 &&
    octets.toString('latin1', 12, waiting.questionEnd).toLowerCase() ===
      Buffer.from(waiting.message).toString('latin1', 12, waiting.questionEnd).toLowerCase();
  fc.assert(
    fc.property(
      fc.oneof(
        changed,
        fc.uint8Array({ maxLength: 64 }).map((o) => Buffer.from(o)),
      ),
      (octets) => {
        const kind = kindOf(waiting, octets);
        if (kind === 'edns-refused') return octets.length === 12;
        return kind !== 'reply' || mustMatch(octets);
      },
    ),
    { numRuns, seed },
  );
});
