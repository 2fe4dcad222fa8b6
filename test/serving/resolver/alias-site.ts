/** A site for the tests of aliases: own zones, an endpoint, and upstreams that speak from made-up zones. */
import type { Test } from 'tap';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import type { ZoneRule } from '../../../src/serving/local-zones/own-zones.ts';
import { message, rawRecord, rr, soaData } from '../../helpers/zone-text.ts';
import type { ReadReply } from './messages.ts';
import { ENDPOINT, endpointRecord, Rig, type RigOptions } from './rig.ts';

export const THREE = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];

/** Upstream's text: `name ttl TYPE data` per record, after `|` authority; the name of an SOA's zone; `!` for NXDOMAIN. */
export type Zone = Readonly<Record<string, string>>;

export function record(text: string): Buffer {
  const [owner = '.', ttl = '0', type = '', ...data] = text.trim().split(/\s+/);
  return rawRecord(owner, type, Number(ttl), rdata(type, data));
}

export function rdata(type: string, data: readonly string[]): Uint8Array {
  const [first = ''] = data;
  switch (type) {
    case 'A':
      return Uint8Array.from(first.split('.').map(Number));
    case 'AAAA':
      return Buffer.concat([
        Buffer.from([0xfd]),
        Buffer.alloc(14),
        Buffer.from([Number(first.split('::')[1])]),
      ]);
    case 'CNAME':
    case 'DNAME':
    case 'PTR':
      return nameToWire(first);
    case 'SOA':
      return soaData(60);
    case 'TXT':
      return Buffer.concat([Buffer.of(first.length), Buffer.from(first)]);
    case 'MX':
      return Buffer.concat([Buffer.of(0, Number(first)), nameToWire(data[1] ?? '.')]);
    case 'SRV':
      return Buffer.concat([Buffer.from([0, 1, 0, 2, 0, 3]), nameToWire(first)]);
    default:
      return Buffer.from(first, 'hex');
  }
}

/** What an upstream says: `name TYPE` to its text; anything else fails. */
export function answersFrom(rig: Rig, zone: Zone): void {
  rig.says = (question) => {
    const text = zone[question];
    if (text === undefined) return { extendedError: 22 };
    const [name = '.', type = 'A'] = question.split(' ');
    const [answers = '', authorities = ''] = text.replace('!', '').split('|');
    const part = (lines: string) =>
      lines
        .split(';')
        .filter((line) => line.trim() !== '')
        .map(record);
    return message({
      id: 7,
      flags: 0x8180 | (text.includes('!') ? 3 : 0),
      question: [name, type],
      answers: part(answers),
      authorities: part(authorities),
    });
  };
}

export const line = ({ owner, ttl, type, data }: ReadReply['answers'][number]) =>
  `${owner} ${ttl} ${type} ${data}`;
export const lines = (reply: ReadReply) => reply.answers.map(line);
export const sorted = (reply: ReadReply) => lines(reply).toSorted();

export const site: ZoneRule<string> = {
  name: 'site.example',
  records: [
    rr(`api.site.example 120 CNAME ${ENDPOINT}`),
    rr('two.site.example 60 CNAME api.site.example'),
    rr('lab.site.example 60 CNAME box.lab.test.example'),
    rr('web.site.example 60 CNAME www.example.com'),
    rr(`status.site.example 60 CNAME _status.${ENDPOINT}`),
    rr(`under.site.example 60 CNAME x.${ENDPOINT}`),
    rr('blocked.site.example 60 CNAME ads.example'),
    rr('broken.site.example 60 CNAME fail.example'),
    rr('refused.site.example 60 CNAME no.example'),
    rr('gone.site.example 60 CNAME gone.lab.test.example'),
    rr('ping.site.example 60 CNAME pong.lab.test.example'),
    rr('box.site.example 60 A 10.9.9.9'),
    rr('kept.site.example 60 CNAME retained.example'),
    rr('local.site.example 60 CNAME www.localhost'),
  ],
};
export const lab: ZoneRule<string> = {
  name: 'lab.test.example',
  records: [
    rr('box.lab.test.example 30 A 10.8.8.8'),
    rr('box.lab.test.example 30 TXT hello'),
    rr('pong.lab.test.example 30 CNAME ping.site.example'),
  ],
};
export const rules: readonly ZoneRule<string>[] = [
  site,
  lab,
  { name: 'ads.example', answer: 'nxdomain' },
  { name: 'fail.example', answer: 'servfail' },
  { name: 'no.example', answer: 'refused' },
  { name: 'corp.example', forwardTo: 'corp' },
];

export function rigWith(options: RigOptions = {}): Rig {
  return new Rig({ records: [endpointRecord({ addresses: THREE })], rules, ...options });
}

export const ENDPOINT_LINES = THREE.map((address) => `${ENDPOINT} 60 A ${address}`);

/** Both with the upstreams there and without. */
export async function both(
  t: Test,
  test: (t: Test, rig: Rig) => Promise<void> | void,
  options: RigOptions = {},
) {
  await t.test('connected', async (t) => test(t, rigWith(options)));
  await t.test('in a cut', async (t) => {
    const rig = rigWith(options);
    for (const route of ['default', 'corp']) rig.down.add(route);
    await test(t, rig);
  });
}
