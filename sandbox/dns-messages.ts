/** Replies composed by dns2, and cut to what the client can take. */
import { Packet } from 'dns2';
import { rdataFromText } from '../src/protocol/wire/presentation.ts';
import { CLASS, RCODE, TYPE, typeFromText } from '../src/protocol/words/codes.ts';
import { NameError, nameToWire } from '../src/protocol/words/name.ts';
import type { DnsRecord } from './facts.ts';
import { plainName } from './region-state.ts';
import { SandboxError } from './sandbox-error.ts';

export interface ReplyContent {
  readonly rcode: keyof typeof RCODE;
  readonly answers?: readonly DnsRecord[];
  readonly authorities?: readonly DnsRecord[];
  /** The AD bit (RFC 6840 section 5.8). */
  readonly authenticated?: boolean;
}

/** What the sandbox reads from a query. */
export interface ParsedQuery {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly opcode: number;
  readonly recursionDesired: boolean;
  readonly checkingDisabled: boolean;
  /** From the OPT record (RFC 6891 section 6.1.2); absent: the query had none. */
  readonly edns:
    | { readonly sizeOctets: number; readonly dnssecOk: boolean; readonly version: number }
    | undefined;
}

const OWN_EDNS_SIZE = 1232;
const PLAIN_UDP_SIZE = 512; // RFC 1035 section 4.2.1
const DNSSEC_OK = 0x8000; // RFC 3225 section 3, in the OPT record's TTL

/** `undefined`: not a query with one question, as a resolver sends them. */
export function readQuery(packet: Packet): ParsedQuery | undefined {
  const [question] = packet.questions;
  if (packet.header.qr !== 0 || question === undefined || packet.questions.length !== 1) return undefined;
  const option = packet.additionals.find(({ type }) => type === TYPE.OPT);
  return {
    name: question.name,
    type: question.type,
    class: question.class,
    opcode: packet.header.opcode,
    recursionDesired: packet.header.rd === 1,
    // dns2 parses CD but does not declare it
    checkingDisabled: Reflect.get(packet.header, 'cd') === 1,
    edns: option && {
      sizeOctets: option.class,
      dnssecOk: (option.ttl & DNSSEC_OK) !== 0,
      version: (option.ttl >>> 16) & 0xff,
    },
  };
}

/** The whole reply, or one with TC and no records where it does not fit (RFC 2181 section 9). */
export function composeReply(
  query: Packet,
  content: ReplyContent,
  transport: 'udp' | 'tcp',
  forceTruncation = false,
): Buffer {
  const whole = message(query, content).toBuffer();
  const limit = transport === 'tcp' ? 0xffff : udpLimit(query);
  const isCut = whole.length > limit || (forceTruncation && transport === 'udp');
  if (!isCut) return whole;
  const cut = message(query, { rcode: content.rcode });
  cut.header.tc = 1;
  return cut.toBuffer();
}

function udpLimit(query: Packet): number {
  const offered = readQuery(query)?.edns?.sizeOctets ?? PLAIN_UDP_SIZE;
  // RFC 6891 section 6.2.3: less than 512 counts as 512
  return Math.min(Math.max(offered, PLAIN_UDP_SIZE), OWN_EDNS_SIZE);
}

function message(query: Packet, content: ReplyContent): Packet {
  const reply = Packet.createResponseFromRequest(query);
  reply.header.ra = 1;
  reply.header.rcode = RCODE[content.rcode];
  // dns2 composes AD and CD but does not declare them
  Object.assign(reply.header, {
    ad: content.authenticated === true ? 1 : 0,
    cd: Reflect.get(query.header, 'cd'),
  });
  reply.answers = (content.answers ?? []).map(toResource);
  reply.authorities = (content.authorities ?? []).map(toResource);
  const edns = readQuery(query)?.edns;
  if (edns !== undefined) reply.additionals = [ednsOption(edns.dnssecOk)];
  return reply;
}

/** An OPT in the reply exactly when the query had one (RFC 6891 section 6.1.1). */
function ednsOption(dnssecOk: boolean): Resource {
  const ttl = dnssecOk ? DNSSEC_OK : 0;
  return Object.assign(Packet.Resource.EDNS([]), { name: '', class: OWN_EDNS_SIZE, ttl });
}

export type Resource = Packet['answers'][number];

/** Throws SandboxError `bad-record`. */
export function toResource(record: DnsRecord): Resource {
  const type = typeFromText(record.type);
  if (type === undefined) throw badRecord(record, 'unknown type');
  const isText = type === TYPE.TXT || type === TYPE.SPF;
  if (!isText && /\\(?!#)/.test(record.value)) throw badRecord(record, 'a name in it has an escaped octet');
  const rdata = rdataFromText(type, isText ? inStrings(record.value) : record.value);
  if ('fault' in rdata) throw badRecord(record, rdata.fault);
  const head = Buffer.alloc(11); // the root as owner, TYPE, CLASS, TTL, RDLENGTH
  head.writeUInt16BE(type, 1);
  head.writeUInt16BE(CLASS.IN, 3);
  head.writeUInt32BE(record.ttlSeconds, 5);
  head.writeUInt16BE(rdata.octets.length, 9);
  const resource = Packet.Resource.decode(Buffer.concat([head, rdata.octets]));
  return Object.assign(resource, { name: ownerName(record) });
}

/** dns2 wants the root as an empty text, no final dot, and knows no escapes. */
function ownerName(record: DnsRecord): string {
  try {
    nameToWire(record.name);
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    throw badRecord(record, error.message);
  }
  if (/\\/.test(record.name)) throw badRecord(record, `"${record.name}" has an escaped octet`);
  return record.name.replace(/\.$/, '');
}

/** Quoted strings as they are; bare text in as many strings of 255 octets as it needs (RFC 1035 section 3.3.14). */
function inStrings(value: string): string {
  if (value.startsWith('"')) return value;
  const strings = value.match(/.{1,255}/gs) ?? [''];
  return strings.map((text) => `"${text.replaceAll(/["\\]/g, '\\$&')}"`).join(' ');
}

function badRecord(record: DnsRecord, why: string): SandboxError {
  return new SandboxError(
    'bad-record',
    `compose the record "${plainName(record.name)} ${record.type} ${record.value}": ${why}`,
  );
}
