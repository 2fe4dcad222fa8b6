import t from 'tap';
import { hasProofs } from '../../../src/protocol/wire/leave-out.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import {
  type Heard,
  judge,
  type Known,
  lastGood,
  learn,
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
    const verdict = judge(octets, indexed(octets));
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

/** What is known after each of these was said, 30 s apart unless another time is given. */
function after(...said: (readonly [kind: Heard['kind'], octets: Uint8Array, atMs?: number])[]): Known {
  let known: Known | undefined;
  for (const [at, [kind, octets, atMs]] of said.entries()) {
    known = learn(known, { kind, message: octets }, { monotonicMs: atMs ?? at * 30_000 });
  }
  return known!;
}

const yes = ['positive', addresses(name, 60, 1)] as const;
const other = ['positive', addresses(name, 60, 2)] as const;
const none = ['nodata', denial(name, 'A', 60)] as const;
const no = ['nxdomain', denial(name, 'A', 60, NXDOMAIN)] as const;

t.test(
  'what is known: a denial hides a good answer, and only a repeated NODATA takes its place',
  async (t) => {
    const cases: [it: string, known: Known, want: string][] = [
      ['an answer', after(yes), 'positive'],
      ['another answer', after(yes, other), 'positive'],
      ['NODATA', after(none), 'nodata'],
      ['NXDOMAIN', after(no), 'nxdomain'],
      ['NODATA after an answer', after(yes, none), 'nodata behind it positive'],
      ['NODATA twice after an answer', after(yes, none, none), 'nodata'],
      [
        'NODATA twice within moments',
        after(yes, [...none, 60_000], [...none, 79_999]),
        'nodata behind it positive',
      ],
      ['NODATA twice, the second in time', after(yes, [...none, 60_000], [...none, 80_000]), 'nodata'],
      ['NXDOMAIN after an answer', after(yes, no), 'nxdomain behind it positive'],
      ['NXDOMAIN many times', after(yes, no, no, no, no), 'nxdomain behind it positive'],
      ['NXDOMAIN after NODATA', after(none, no), 'nxdomain behind it nodata'],
      ['NODATA after NXDOMAIN', after(no, none), 'nodata'],
      ['an answer, NODATA, NXDOMAIN', after(yes, none, no), 'nxdomain behind it positive'],
      ['an answer, NXDOMAIN, NODATA', after(yes, no, none), 'nodata behind it positive'],
      ['an answer, NXDOMAIN, NODATA twice', after(yes, no, none, none), 'nodata'],
      ['an answer again', after(yes, no, yes), 'positive'],
    ];
    for (const [it, known, want] of cases) {
      const behind = known.earlier === undefined ? '' : ` behind it ${known.earlier.kind}`;
      t.equal(`${known.kind}${behind}`, want, it);
      t.equal(known.earlier?.earlier, undefined, `${it}: never more than one`);
    }
  },
);

t.test('what is kept on the disk: the last good answer', async (t) => {
  t.equal(lastGood(after(no)), undefined);
  t.equal(lastGood(after(none))?.kind, 'nodata');
  t.equal(lastGood(after(yes, none))?.kind, 'positive');
  t.equal(lastGood(after(yes, none, none))?.kind, 'nodata');
  t.equal(lastGood(after(yes, no, no))?.message, yes[1]);
});

t.test('an answer changes with its records; their order, their TTLs and the ID are no change', async (t) => {
  const first = addresses(name, 60, 1, 2, 3);
  const cases: [it: string, octets: Uint8Array, isChange: boolean][] = [
    ['the same', first, false],
    ['another ID and TTL', addresses(name, 17, 1, 2, 3), false],
    ['another order', addresses(name, 60, 3, 1, 2), false],
    ['one less', addresses(name, 60, 1, 2), true],
    ['another one', addresses(name, 60, 1, 2, 4), true],
    ['one twice', addresses(name, 60, 1, 2, 3, 3), true],
  ];
  for (const [it, octets, isChange] of cases) {
    const known = after(['positive', first], ['positive', octets]);
    t.equal(known.confirmed.monotonicMs, 30_000, it);
    t.equal(known.changed.monotonicMs, isChange ? 30_000 : 0, it);
  }
  t.equal(after(yes, no, yes).changed.monotonicMs, 0, 'back after a denial, it is the same as before');
});
