import t from 'tap';
import { hasProofs } from '../../../src/protocol/wire/reply.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import {
  answerToGive,
  classify,
  type DenialSettings,
  type KnownAnswer,
  lastGood,
  learn,
  type UpstreamAnswer,
} from '../../../src/refresh/retained/retained-answer.ts';
import { message, opt, rawRecord, rrsigData, soaData } from '../../helpers/zone-text.ts';
import { addresses, denial } from './scripted-upstream.ts';

const name = 'registry.example';
const soa = rawRecord('.', 'SOA', 60, soaData(60));
const NXDOMAIN = 0x8183;

function indexed(octets: Uint8Array) {
  const index = indexResponse(octets);
  if (index.kind === 'fault') throw new Error(index.reason);
  return index;
}

t.test('what a response is good for', async (t) => {
  const alias = rawRecord(name, 'CNAME', 60, [1, 0x78, 0]);
  const cases: [it: string, octets: Uint8Array, want: string][] = [
    ['addresses', addresses(name, 60, 1), 'positive'],
    [
      'an alias and where it leads',
      message({ question: [name, 'A'], answers: [alias, rawRecord('x', 'A', 60, [1, 2, 3, 4])] }),
      'positive',
    ],
    ['addresses with a TTL of 0', addresses(name, 0, 1), 'positive'],
    ['NODATA', denial(name, 'AAAA', 60), 'nodata'],
    [
      'an alias to a name without the type',
      message({ question: [name, 'AAAA'], answers: [alias], authorities: [soa] }),
      'nodata',
    ],
    [
      'nothing, without SOA: some servers on the site deny so',
      message({ question: [name, 'AAAA'] }),
      'nodata',
    ],
    ['NXDOMAIN', denial(name, 'A', 60, NXDOMAIN), 'nxdomain'],
    ['NXDOMAIN without SOA', message({ flags: NXDOMAIN, question: [name, 'A'] }), 'NXDOMAIN without SOA'],
    [
      'an alias without its target, which is asked for whenever the alias is given',
      message({ question: [name, 'A'], answers: [alias] }),
      'positive',
    ],
    [
      'a referral',
      message({ question: [name, 'A'], authorities: [rawRecord('example', 'NS', 60, [0])] }),
      'neither an answer nor a denial',
    ],
    ['SERVFAIL', message({ flags: 0x8182, question: [name, 'A'] }), 'SERVFAIL'],
    ['REFUSED', message({ flags: 0x8185, question: [name, 'A'] }), 'REFUSED'],
    ['BADVERS', message({ question: [name, 'A'], additionals: [opt({ extendedRcode: 1 })] }), 'BADVERS'],
    ['TC', message({ flags: 0x8380, question: [name, 'A'] }), 'truncated'],
    [
      'a message that is too large',
      addresses(name, 60, ...new Array<number>(250).fill(1)),
      `8034 octets, more than 4096`,
    ],
  ];
  for (const [it, octets, want] of cases) {
    const verdict = classify(octets, indexed(octets));
    t.equal(verdict.kind === 'failed' ? verdict.detail : verdict.kind, want, it);
  }
});

t.test('signatures are seen in every section, and OPT is none', async (t) => {
  const rdata: Record<string, Uint8Array> = {
    A: Uint8Array.of(1, 2, 3, 4),
    RRSIG: rrsigData(),
    NSEC: Uint8Array.of(0, 0, 1, 0x40),
    NSEC3: Uint8Array.of(1, 0, 0, 0, 0, 1, 7),
  };
  const of = (section: 'answers' | 'authorities' | 'additionals', type: string) =>
    message({ question: [name, 'A'], [section]: [rawRecord(name, type, 60, rdata[type]!)] });
  const cases: [octets: Uint8Array, want: boolean][] = [
    [of('answers', 'A'), false],
    [of('answers', 'RRSIG'), true],
    [of('authorities', 'NSEC'), true],
    [of('authorities', 'NSEC3'), true],
    [of('additionals', 'RRSIG'), true],
    [message({ question: [name, 'A'], additionals: [opt({ doBit: true })] }), false],
  ];
  for (const [octets, want] of cases) t.equal(hasProofs(octets, indexed(octets)), want);
});

type Said = readonly [kind: UpstreamAnswer['kind'], octets: Uint8Array, atMinutes?: number];

/** What is known after each of these was said, a minute apart unless another time is given; the good answer has a TTL of 60 s. */
function after(...said: readonly Said[]): KnownAnswer {
  return afterWith({}, ...said);
}

function afterWith(doubt: Partial<DenialSettings>, ...said: readonly Said[]): KnownAnswer {
  let known: KnownAnswer | undefined;
  for (const [at, [kind, octets, atMinutes]] of said.entries()) {
    const now = { monotonicMs: (atMinutes ?? at) * 60_000 };
    const usual = { ignoreDenials: false, lifetimeMs: 60_000, isInterrupted: false };
    known = learn(known, { kind, message: octets }, now, { ...usual, ...doubt });
  }
  return known!;
}

const yes = ['positive', addresses(name, 60, 1)] as const;
const other = ['positive', addresses(name, 60, 2)] as const;
const none = ['nodata', denial(name, 'A', 60)] as const;
const no = ['nxdomain', denial(name, 'A', 60, NXDOMAIN)] as const;
const HOUR = { lifetimeMs: 3_600_000 };
const FIRM = { ignoreDenials: true };

const learned: [it: string, known: KnownAnswer, want: string][] = [
  ['an answer', after(yes), 'positive'],
  ['another answer', after(yes, other), 'positive'],
  ['NODATA', after(none), 'nodata'],
  ['NXDOMAIN', after(no), 'nxdomain'],
  ['NODATA after an answer', after(yes, none), 'positive, nodata doubted'],
  ['NODATA for less than 10 min', after(yes, [...none, 1], [...none, 10.9]), 'positive, nodata doubted'],
  ['NODATA for 10 min', after(yes, [...none, 1], [...none, 5], [...none, 11]), 'nodata'],
  [
    'NODATA for less than the TTL',
    afterWith(HOUR, yes, [...none, 1], [...none, 60]),
    'positive, nodata doubted',
  ],
  ['NODATA for the TTL', afterWith(HOUR, yes, [...none, 1], [...none, 61]), 'nodata'],
  [
    'NODATA, and again after a cut',
    afterWith({ isInterrupted: true }, yes, [...none, 1], [...none, 5_000]),
    'positive, nodata doubted',
  ],
  ['an answer between', after(yes, [...none, 1], [...yes, 6], [...none, 12]), 'positive, nodata doubted'],
  ['NXDOMAIN between', after(yes, [...none, 1], [...no, 6], [...none, 12]), 'positive, nodata doubted'],
  ['NXDOMAIN after an answer', after(yes, no), 'nxdomain, then positive'],
  ['NXDOMAIN many times', after(yes, no, no, no, [...no, 100]), 'nxdomain, then positive'],
  ['NXDOMAIN after NODATA', after(none, no), 'nxdomain, then nodata'],
  ['NODATA after NXDOMAIN', after(no, none), 'nodata'],
  ['NODATA after NXDOMAIN after NODATA', after(none, no, none), 'nodata'],
  ['an answer, NODATA, NXDOMAIN', after(yes, none, no), 'nxdomain, then positive'],
  ['an answer, NXDOMAIN, NODATA', after(yes, no, none), 'positive, nodata doubted'],
  ['an answer again', after(yes, no, yes), 'positive'],
  [
    'ignoreDenials: NODATA for ever',
    afterWith(FIRM, yes, none, [...none, 9_000]),
    'positive, nodata doubted',
  ],
  [
    'ignoreDenials: NXDOMAIN for ever',
    afterWith(FIRM, yes, no, [...no, 9_000]),
    'positive, nxdomain doubted',
  ],
  ['ignoreDenials: NXDOMAIN after NODATA', afterWith(FIRM, none, no), 'nodata, nxdomain doubted'],
  ['ignoreDenials: both in turn', afterWith(FIRM, yes, no, none, no), 'positive, nxdomain doubted'],
  ['ignoreDenials: a new answer', afterWith(FIRM, yes, no, other), 'positive'],
  ['ignoreDenials: nothing else was ever said', afterWith(FIRM, no, no), 'nxdomain'],
];

t.test('what is known, and which answer is given', async (t) => {
  for (const [it, known, want] of learned) {
    const { kind, earlier, doubtedSince } = known;
    const rest = earlier === undefined ? '' : `, then ${earlier.kind}`;
    const text =
      doubtedSince === undefined ? `${kind}${rest}` : `${answerToGive(known).kind}, ${kind} doubted`;
    t.equal(text, want, it);
    t.equal(earlier?.earlier, undefined, `${it}: never more than one`);
  }
});

t.test('what is kept on the disk: the last good answer', async (t) => {
  t.equal(lastGood(after(no)), undefined);
  t.equal(lastGood(after(none))?.kind, 'nodata');
  t.equal(lastGood(after(yes, none))?.kind, 'positive');
  t.equal(lastGood(after(yes, none, [...none, 12]))?.kind, 'nodata');
  t.equal(lastGood(after(yes, no, no))?.message, yes[1]);
});

t.test('an answer changes with its records; their order, their TTLs and the ID are no change', async (t) => {
  const first = addresses(name, 60, 1, 2, 3);
  const cases: [it: string, octets: Uint8Array, isChange: boolean][] = [
    ['the same', first, false],
    ['another ID and TTL', addresses(name, 17, 1, 2, 3), false],
    ['another order', addresses(name, 60, 3, 1, 2), false],
    ['one less', addresses(name, 60, 1, 2), true],
    ['a different record', addresses(name, 60, 1, 2, 4), true],
    ['one twice', addresses(name, 60, 1, 2, 3, 3), true],
  ];
  for (const [it, octets, isChange] of cases) {
    const known = after(['positive', first], ['positive', octets]);
    t.equal(known.confirmed.monotonicMs, 60_000, it);
    t.equal(known.changed.monotonicMs, isChange ? 60_000 : 0, it);
  }
  t.equal(after(yes, no, yes).changed.monotonicMs, 0, 'back after a denial, it is the same as before');
});
