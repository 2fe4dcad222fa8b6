import t from 'tap';
import { cacheability } from '../../../src/serving/answer-cache/cached-answer.ts';
import { type MessageText, message, opt, rawRecord, soaData } from '../../helpers/zone-text.ts';
import { indexed } from './asked.ts';

const settings = { maxTtlSeconds: 86_400, negativeTtlSeconds: 60 };

const a = (ttl: number) => rawRecord('a.example', 'A', ttl, [10, 0, 0, 1]);
const cname = (ttl: number) => rawRecord('a.example', 'CNAME', ttl, [1, 0x62, 0]);
const soa = (ttl: number, minimum: number) => rawRecord('example', 'SOA', ttl, soaData(minimum));
const ns = (ttl: number) => rawRecord('example', 'NS', ttl, [1, 0x6e, 0]);
const question = ['a.example', 'A'] as const;

interface Case {
  readonly it: string;
  readonly message: Omit<MessageText, 'question'> & { readonly question?: MessageText['question'] };
  readonly kept: string;
}

/** `kept` is `kind lifetime cap`, or `none: reason`. */
const cases: readonly Case[] = [
  { it: 'an answer lives for its TTL', message: { answers: [a(300)] }, kept: 'positive 300 86400' },
  {
    it: 'the smallest TTL of answer and authority counts (RFC 2181 section 5.2 and 8)',
    message: { answers: [a(300), a(120)], authorities: [ns(90)] },
    kept: 'positive 90 86400',
  },
  {
    it: 'a TTL in the additional section does not count',
    message: { answers: [a(300)], additionals: [rawRecord('n', 'A', 5, [1, 2, 3, 4])] },
    kept: 'positive 300 86400',
  },
  { it: 'a TTL is capped at maxTtl', message: { answers: [a(604_800)] }, kept: 'positive 86400 86400' },
  {
    it: 'TTL 0 is for this transaction only (RFC 1035 section 3.2.1): stale from the start',
    message: { answers: [a(0)] },
    kept: 'positive 0 86400',
  },
  {
    it: 'a TTL with its top bit set is a long one (RFC 8767 section 4)',
    message: { answers: [a(0x8000_0000)] },
    kept: 'positive 86400 86400',
  },
  {
    it: 'in a denial, too',
    message: { flags: 0x8183, authorities: [soa(0xffff_ffff, 0x8000_0000)] },
    kept: 'nxdomain 60 60',
  },
  {
    it: 'an alias with its target counts as an answer',
    message: { answers: [cname(200), rawRecord('b', 'A', 100, [1, 2, 3, 4])] },
    kept: 'positive 100 86400',
  },
  {
    it: 'an alias asked for itself is the answer',
    message: { question: ['a.example', 'CNAME'], answers: [cname(200)] },
    kept: 'positive 200 86400',
  },
  {
    it: 'ANY is answered by any record',
    message: { question: ['a.example', 'ANY'], answers: [cname(200)] },
    kept: 'positive 200 86400',
  },
  {
    it: 'an alias without target and without SOA is kept: the target is asked for whenever it is given',
    message: { answers: [cname(200)] },
    kept: 'positive 200 86400',
  },
  {
    it: 'an alias whose target has no such type is NODATA (RFC 2308 section 2.2)',
    message: { answers: [cname(40)], authorities: [soa(300, 300)] },
    kept: 'nodata 40 40',
  },
  { it: 'a referral is not kept', message: { authorities: [ns(300)] }, kept: 'none: no soa' },
  {
    it: 'NODATA lives for the SOA MINIMUM where that is smaller than its TTL (RFC 2308 section 5)',
    message: { authorities: [soa(50, 20)] },
    kept: 'nodata 20 20',
  },
  {
    it: 'NODATA lives for the TTL of the SOA where that is smaller than MINIMUM (RFC 2308 section 5)',
    message: { authorities: [soa(20, 50)] },
    kept: 'nodata 20 20',
  },
  {
    it: 'negative answers are capped at negativeTtl',
    message: { authorities: [soa(900, 900)] },
    kept: 'nodata 60 60',
  },
  {
    it: 'NODATA without SOA is not kept (RFC 2308 section 5)',
    message: {},
    kept: 'none: no soa',
  },
  {
    it: 'NXDOMAIN with SOA is kept',
    message: { flags: 0x8183, authorities: [soa(30, 900)] },
    kept: 'nxdomain 30 30',
  },
  {
    it: 'NXDOMAIN at the end of an alias is kept, not longer than the alias (RFC 2308 section 2.1)',
    message: { flags: 0x8183, answers: [cname(7)], authorities: [soa(30, 900)] },
    kept: 'nxdomain 7 7',
  },
  {
    it: 'NXDOMAIN without SOA is not kept (RFC 2308 section 5)',
    message: { flags: 0x8183 },
    kept: 'none: no soa',
  },
  {
    it: 'an SOA in the answer section is no ground for a negative answer',
    message: { question: ['example', 'A'], answers: [soa(300, 300)] },
    kept: 'none: no soa',
  },
  {
    it: 'MINIMUM 0 is stale from the start',
    message: { flags: 0x8183, authorities: [soa(30, 0)] },
    kept: 'nxdomain 0 0',
  },
  { it: 'SERVFAIL is kept for 5 s (RFC 9520)', message: { flags: 0x8182 }, kept: 'failure' },
  {
    it: 'SERVFAIL is a failure whatever it carries',
    message: { flags: 0x8182, answers: [a(300)] },
    kept: 'failure',
  },
  {
    it: 'TC is not kept, whatever it carries (RFC 2181 section 9)',
    message: { flags: 0x8380, answers: [a(300)] },
    kept: 'none: truncated',
  },
  {
    it: 'SERVFAIL with TC is not kept',
    message: { flags: 0x8382 },
    kept: 'none: truncated',
  },
  { it: 'FORMERR is not kept', message: { flags: 0x8181 }, kept: 'none: rcode' },
  { it: 'NOTIMP is not kept', message: { flags: 0x8184 }, kept: 'none: rcode' },
  { it: 'REFUSED is not kept', message: { flags: 0x8185, answers: [a(300)] }, kept: 'none: rcode' },
  { it: 'YXDOMAIN is not kept', message: { flags: 0x8186, answers: [a(300)] }, kept: 'none: rcode' },
  {
    it: 'an extended RCODE is read with its upper bits: BADVERS is not NOERROR (RFC 6891 section 6.1.3)',
    message: { flags: 0x8180, answers: [a(300)], additionals: [opt({ extendedRcode: 1 })] },
    kept: 'none: rcode',
  },
];

for (const { it, message: parts, kept } of cases) {
  t.test(it, async (t) => {
    const verdict = cacheability(indexed(message({ question, ...parts })), settings);
    t.equal(
      verdict.kind === 'failure'
        ? 'failure'
        : verdict.kind === 'none'
          ? `none: ${verdict.reason}`
          : `${verdict.kind} ${verdict.lifetimeSeconds} ${verdict.maxTtlSeconds}`,
      kept,
    );
  });
}
