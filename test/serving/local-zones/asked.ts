import { Packet } from 'dns2';
import { composeQuery, parseQuery, Query } from '../../../src/protocol/wire/query.ts';
import { writeEmptyReply, writeLocalReply } from '../../../src/protocol/wire/reply.ts';
import { extendedErrorName, rcodeName, typeFromText, typeName } from '../../../src/protocol/words/codes.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import type { LocalZones } from '../../../src/serving/local-zones/local-zones.ts';

/** A parsed query for class IN. */
export function asked(name: string, type = 'A'): Query {
  const octets = composeQuery({
    id: 0x4242,
    name: nameToWire(name),
    qtype: typeFromText(type)!,
    qclass: 1,
    recursionDesired: true,
    checkingDisabled: false,
  });
  const query = new Query();
  parseQuery(query, octets, 0, octets.length);
  return query;
}

/** The octets that a client gets for a finding that is an answer. */
export function replyOctets(zones: LocalZones<string>, name: string, type: string, turn = 0): Buffer {
  const query = asked(name, type);
  const found = zones.find(query);
  if (found?.kind !== 'answer') throw new Error(`no answer: ${found?.kind}`);
  const reply = Buffer.alloc(65_535);
  return reply.subarray(0, writeLocalReply(query, found.answer, turn, reply.length, reply, 0));
}

/**
 * What a client sees, on one line: `NOERROR | answer; answer | authority`, `REFUSED (blocked)`, `forward to x`,
 * `nothing`. dns2 reads the reply: it does not know how the answer was fitted to the name.
 */
export function seen(zones: LocalZones<string>, name: string, type = 'A', turn = 0): string {
  const query = asked(name, type);
  const found = zones.find(query);
  if (found === undefined) return 'nothing';
  if (found.kind === 'forward') return `forward to ${found.route}`;
  if (found.kind === 'rcode') {
    const reply = Buffer.alloc(512);
    if (writeEmptyReply(query, found.rcode, found.extendedError, reply, 0) < 12) throw new Error('no reply');
    return `${rcodeName(found.rcode)} (${extendedErrorName(found.extendedError)})`;
  }
  return replyText(replyOctets(zones, name, type, turn), 1);
}

/** A reply's response code, answers and authorities, as dns2 reads them; `aa` is what the bit must be. */
export function replyText(octets: Buffer, aa: 0 | 1): string {
  const packet = Packet.parse(octets);
  if (packet.header.aa !== aa) throw new Error(aa === 1 ? 'not authoritative' : 'authoritative');
  if (packet.answers.length !== octets.readUInt16BE(6)) throw new Error('an answer that cannot be read');
  if (packet.authorities.length !== octets.readUInt16BE(8))
    throw new Error('an authority that cannot be read');
  // the assertion: see ParsedRecord
  const sections = [packet.answers, packet.authorities].map((records) =>
    (records as unknown as ParsedRecord[]).map(recordText).join('; '),
  );
  return `${rcodeName(packet.header.rcode)} | ${sections.join(' | ')}`
    .trimEnd()
    .replace(/ \|$/, '')
    .trimEnd();
}

/** The fields that dns2's parser sets, each for its types; dns2 declares only a few of them. */
interface ParsedRecord {
  readonly name: string;
  readonly type: number;
  readonly ttl: number;
  readonly address?: string;
  readonly domain?: string;
  readonly ns?: string;
  readonly priority?: number;
  readonly exchange?: string;
  readonly primary?: string;
  readonly admin?: string;
  readonly minimum?: number;
  readonly data?: Uint8Array;
}

function recordText(record: ParsedRecord): string {
  const type = typeName(record.type);
  const head = `${record.name || '.'} ${record.ttl} ${type}`;
  switch (type) {
    case 'A':
    case 'AAAA':
      return `${head} ${record.address}`;
    case 'CNAME':
    case 'PTR':
      return `${head} ${record.domain || '.'}`;
    case 'NS':
      return `${head} ${record.ns || '.'}`;
    case 'MX':
      return `${head} ${record.priority} ${record.exchange || '.'}`;
    case 'TXT':
      return `${head} ${JSON.stringify(record.data)}`;
    case 'SOA':
      return `${head} ${record.primary || '.'} ${record.admin} ${record.minimum}`;
    default:
      // HINFO: character strings, here without their length octets; dns2 keeps RDATA of unknown types as a Buffer
      return `${head} ${Buffer.from(record.data ?? [])
        .toString('latin1')
        .replace(/[^ -~]/g, '')}`;
  }
}
