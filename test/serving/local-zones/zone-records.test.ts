import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import t from 'tap';
import { composeLocalAnswer } from '../../../src/protocol/wire/local-answer.ts';
import { readZoneRecord } from '../../../src/serving/local-zones/zone-records.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 500);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

const apex = 'site.example';
const common = { ttlSeconds: 60 };
const www = { ...common, owner: 'www.site.example' };
const own = { ...common, owner: apex };

const good: readonly [line: string, record: object][] = [
  ['www A 10.0.0.5', { ...www, type: 'A', address: '10.0.0.5' }],
  ['  WWW   a\t10.0.0.5 ', { ...www, type: 'A', address: '10.0.0.5' }],
  ['@ A 10.0.0.5', { ...own, type: 'A', address: '10.0.0.5' }],
  ['www.site.example. A 10.0.0.5', { ...www, type: 'A', address: '10.0.0.5' }],
  ['a.b A 10.0.0.5', { ...common, owner: 'a.b.site.example', type: 'A', address: '10.0.0.5' }],
  ['_x._tcp TXT y', { ...common, owner: '_x._tcp.site.example', type: 'TXT', strings: ['y'] }],
  ['www AAAA FD00:0:0::5', { ...www, type: 'AAAA', address: 'fd00::5' }],
  ['www AAAA ::ffff:10.0.0.5', { ...www, type: 'AAAA', address: '::ffff:a00:5' }],
  ['www CNAME other.example', { ...www, type: 'CNAME', target: 'other.example' }],
  ['www CNAME Other.Example.', { ...www, type: 'CNAME', target: 'other.example' }],
  ['www CNAME @', { ...www, type: 'CNAME', target: apex }],
  ['www CNAME localhost.', { ...www, type: 'CNAME', target: 'localhost' }],
  ['www PTR a.example', { ...www, type: 'PTR', target: 'a.example' }],
  ['@ NS ns.other.example', { ...own, type: 'NS', target: 'ns.other.example' }],
  ['@ MX 10 mail.example', { ...own, type: 'MX', preference: 10, exchange: 'mail.example' }],
  ['@ MX 0 .', { ...own, type: 'MX', preference: 0, exchange: '.' }],
  ['www TXT one two', { ...www, type: 'TXT', strings: ['one', 'two'] }],
  ['www TXT "v=spf1 -all" ""', { ...www, type: 'TXT', strings: ['v=spf1 -all', ''] }],
  ['www TXT "a \\"b\\" \\\\"', { ...www, type: 'TXT', strings: ['a "b" \\'] }],
];

for (const [line, record] of good) {
  t.test(`reads: ${line}`, async (t) => {
    t.same(readZoneRecord(line, apex), { kind: 'record', record });
  });
}

const bad: readonly [line: string, reason: RegExp][] = [
  ['', /expected "owner TYPE data"/],
  ['www', /expected "owner TYPE data"/],
  ['www A', /expected "owner TYPE data"/],
  ['www A 10.0.0', /not an IPv4 address: "10\.0\.0"/],
  ['www A 10.0.0.05', /not an IPv4 address/],
  ['www A 10.0.0.5 10.0.0.6', /expected one value behind A/],
  ['www 300 A 10.0.0.5', /not a type that can be given here: "300"|expected one value/],
  ['www AAAA 10.0.0.5', /not an IPv6 address/],
  ['www AAAA fe80::1%eth0', /not an IPv6 address/],
  ['www SRV 1', /not a type that can be given here: "SRV"/],
  ['www SOA x', /not a type that can be given here: "SOA"/],
  ['www MX mail.example', /expected a preference and a name/],
  ['www MX 65536 mail.example', /not a preference/],
  ['www MX -1 mail.example', /not a preference/],
  ['@ CNAME a.example', /a zone's own name cannot be an alias/],
  ['sub NS ns.example', /NS is for "@" alone/],
  ['*.apps A 10.0.0.5', /wildcards are not supported/],
  ['* A 10.0.0.5', /wildcards are not supported/],
  ['www.other.example. A 10.0.0.5', /"www\.other\.example\." is not in the zone "site\.example"/],
  ['www.site.example A 10.0.0.5', /would be "www\.site\.example\.site\.example": leave the zone out/],
  ['www CNAME other', /the target "other" has one label/],
  ['a..b A 10.0.0.5', /empty label/],
  [`${'x'.repeat(64)} A 10.0.0.5`, /label too long/],
  [`${'x.'.repeat(122)}x A 10.0.0.5`, /name too long/],
  ['a\\.b A 10.0.0.5', /has an escaped octet/],
  ['ä A 10.0.0.5', /has an escaped octet/],
  ['www CNAME a\\032b.example', /has an escaped octet/],
  ['www TXT "open', /a quotation mark without its other half/],
  ['www TXT a"b"', /a quotation mark without its other half/],
  [`www TXT ${'x'.repeat(256)}`, /a string longer than 255 octets/],
  [`www TXT ${'ä'.repeat(128)}`, /a string longer than 255 octets/],
];

for (const [line, reason] of bad) {
  t.test(`refuses: ${line.slice(0, 60)}`, async (t) => {
    const read = readZoneRecord(line, apex);
    t.equal(read.kind, 'fault');
    if (read.kind === 'fault') t.match(read.reason, reason);
  });
}

t.test('in the zone of the root an owner is what it says', async (t) => {
  t.match(readZoneRecord('www A 10.0.0.5', '.'), { record: { owner: 'www' } });
  t.match(readZoneRecord('@ A 10.0.0.5', '.'), { record: { owner: '.' } });
});

t.test('any line is a record that can be composed, or a fault', async () => {
  const part = fc.oneof(
    fc.constantFrom(
      '@',
      'www',
      'A',
      'AAAA',
      'CNAME',
      'TXT',
      'PTR',
      'MX',
      'NS',
      '10',
      '10.0.0.1',
      '::1',
      '"',
      '.',
      '\\',
      ' ',
    ),
    fc.string({ maxLength: 12, unit: 'binary' }),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), fc.constantFrom(apex, '.'), (parts, zone) => {
      const read = readZoneRecord(parts.join(' '), zone);
      if (read.kind === 'fault') return;
      composeLocalAnswer({ rcode: 0, name: read.record.owner, answers: [read.record], authorities: [] });
    }),
    { seed, numRuns },
  );
});

t.test('any IPv6 address, however it is written, is composed to its own sixteen octets', async () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.nat(15),
      fc.nat(15),
      (octets, from, zeros) => {
        octets.fill(0, from, from + zeros);
        const text = ipaddr.fromByteArray([...octets]).toString();
        const read = readZoneRecord(`www AAAA ${text}`, apex);
        if (read.kind === 'fault') throw new Error(read.reason);
        const { owner } = read.record;
        const answer = composeLocalAnswer({ rcode: 0, name: owner, answers: [read.record], authorities: [] });
        if (!Buffer.from(answer.octets).subarray(-16).equals(octets)) throw new Error(text);
      },
    ),
    { seed, numRuns },
  );
});
