/** The octets of a reply that a rule of an outage gives. */
import t from 'tap';
import { composeQuery, parseQuery, Query } from '../../../src/protocol/wire/query.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import { typeFromText } from '../../../src/protocol/words/codes.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { rr } from '../../helpers/zone-text.ts';
import { asked } from './asked.ts';
import { build, written } from './disconnected-site.ts';

const ec2 = 'us-west-2.compute.internal';

/** With EDNS and DO; the name may be as long as names can be. */
function askedWithEdns(name: string, type: string): Query {
  const octets = composeQuery({
    id: 7,
    name: nameToWire(name),
    qtype: typeFromText(type)!,
    qclass: 1,
    recursionDesired: true,
    checkingDisabled: false,
    edns: { dnssecOk: true },
  });
  const query = new Query();
  parseQuery(query, octets, 0, octets.length);
  return query;
}

t.test(
  'every reply echoes the question, sets RA and RD and no AA, and has OPT exactly when the query had it',
  (t) => {
    const rules = build([{ name: 'corp.example', whileDisconnected: [rr('corp.example 60 A 10.0.0.1')] }], {
      regions: ['us-west-2'],
      vpcs: [{ region: 'us-west-2', cidr: '10.0.0.0/8' }],
    });
    const rows: readonly [string, string, answers: number, authorities: number][] = [
      [`ip-10-0-3-10.${ec2}`, 'A', 1, 0],
      [`ip-10-0-3-10.${ec2}`, 'AAAA', 0, 1],
      [`x.${ec2}`, 'A', 0, 1],
      ['1.2.3.10.in-addr.arpa', 'PTR', 1, 0],
      ['sts.us-west-2.amazonaws.com', 'A', 0, 0],
      ['corp.example', 'A', 1, 0],
      [`${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(30)}.${ec2}`, 'A', 0, 1],
    ];
    for (const [name, type, ancount, nscount] of rows) {
      for (const query of [asked(name, type), askedWithEdns(name, type)]) {
        const label = `${name} ${type}${query.hasEdns ? ' with EDNS' : ''}`;
        const octets = written(query, rules.find(query));
        const flags = octets.readUInt16BE(2);
        t.equal(flags & 0xfff0, 0x8180, `${label}: QR, RD and RA alone`);
        const question = query.octets.subarray(12, query.questionEnd);
        t.strictSame(octets.subarray(12, query.questionEnd), Buffer.from(question), `${label}: question`);
        t.not(indexResponse(octets).kind, 'fault', `${label}: whole`);
        t.equal(octets.readUInt16BE(6), ancount, `${label}: answers`);
        t.equal(octets.readUInt16BE(8), nscount, `${label}: authorities`);
        t.equal(octets.readUInt16BE(10), query.hasEdns ? 1 : 0, `${label}: additional records`);
        if (query.hasEdns)
          t.match(optOf(octets, query.questionEnd), { type: 41, size: 1232, flags: 0x8000 }, label);
      }
    }
    t.end();
  },
);

/** The OPT record, found from the end: it is the last record of every reply. */
function optOf(octets: Buffer, from: number) {
  for (const length of [11, 17]) {
    const at = octets.length - length;
    if (at >= from && octets[at] === 0 && octets.readUInt16BE(at + 1) === 41) {
      return { type: 41, size: octets.readUInt16BE(at + 3), flags: octets.readUInt16BE(at + 7) };
    }
  }
  return undefined;
}
