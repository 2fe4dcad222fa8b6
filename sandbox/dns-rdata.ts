/** Resource records from presentation form, in the shapes that dns2 composes. */
import { isIPv4, isIPv6 } from 'node:net';
import { Packet } from 'dns2';
import { CLASS } from '../src/protocol/words/classes.ts';
import { NameError, nameToWire } from '../src/protocol/words/name.ts';
import { TYPE, typeFromText } from '../src/protocol/words/types.ts';
import type { DnsRecord } from './facts.ts';
import { plainName } from './region-state.ts';
import { SandboxError } from './sandbox-error.ts';

export type Resource = Packet['answers'][number];

/** Types that dns2 composes from fields: raw RDATA does not get through its composer. */
const COMPOSED: ReadonlySet<number> = new Set([
  TYPE.A,
  TYPE.NS,
  TYPE.CNAME,
  TYPE.SOA,
  TYPE.PTR,
  TYPE.MX,
  TYPE.TXT,
  TYPE.AAAA,
  TYPE.SRV,
  TYPE.DNSKEY,
  TYPE.OPT,
  TYPE.SPF,
  TYPE.CAA,
]);

/** Throws SandboxError `bad-record`. */
export function toResource(record: DnsRecord): Resource {
  const type = typeFromText(record.type);
  if (type === undefined) throw badRecord(record, 'unknown type');
  const owner = domainName(record, record.name);
  return Object.assign(new Packet.Resource(owner, type, CLASS.IN, record.ttlSeconds), rdata(record, type));
}

/** dns2 wants the root as an empty text, no final dot, and knows no escapes. */
function domainName(record: DnsRecord, name: string): string {
  try {
    nameToWire(name);
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    throw badRecord(record, error.message);
  }
  if (name.includes('\\')) throw badRecord(record, `"${name}" has an escaped octet`);
  return name.replace(/\.$/, '');
}

/** The fields that dns2's composer of the type reads; its declarations know no list of Buffers in `data`. */
function rdata(record: DnsRecord, type: number): object {
  if (!COMPOSED.has(type)) return { data: unknownRdata(record) };
  const [first = '', second = '', third = '', fourth = ''] = record.value.split(/\s+/);
  switch (type) {
    case TYPE.A:
      if (!isIPv4(record.value)) throw badRecord(record, 'not an IPv4 address');
      return { address: record.value };
    case TYPE.AAAA:
      if (!isIPv6(record.value)) throw badRecord(record, 'not an IPv6 address');
      return { address: record.value };
    case TYPE.CNAME:
    case TYPE.PTR:
      return { domain: domainName(record, record.value) };
    case TYPE.NS:
      return { ns: domainName(record, record.value) };
    case TYPE.MX:
      return { priority: integer(record, first), exchange: domainName(record, second) };
    case TYPE.SRV:
      return {
        priority: integer(record, first),
        weight: integer(record, second),
        port: integer(record, third),
        target: domainName(record, fourth),
      };
    case TYPE.CAA:
      return { flags: integer(record, first), tag: second, value: third.replaceAll('"', '') };
    case TYPE.SOA:
      return startOfAuthority(record);
    case TYPE.TXT:
    case TYPE.SPF:
      return { data: characterStrings(record) };
    default:
      throw badRecord(record, 'the sandbox cannot compose this type');
  }
}

function startOfAuthority(record: DnsRecord): object {
  const [primary = '', mailbox = '', ...numbers] = record.value.split(/\s+/);
  const [serial, refresh, retry, expiration, minimum] = numbers.map((number) => integer(record, number));
  if (minimum === undefined || serial === undefined) throw badRecord(record, 'seven fields make an SOA');
  return {
    primary: domainName(record, primary),
    admin: domainName(record, mailbox),
    serial,
    refresh: refresh ?? 0,
    retry: retry ?? 0,
    expiration: expiration ?? 0,
    minimum,
  };
}

/** Quoted strings as they are; bare text in as many strings of 255 octets as it needs (RFC 1035 section 3.3.14). */
function characterStrings(record: DnsRecord): Buffer[] {
  if (record.value.startsWith('"')) {
    const quoted = [...record.value.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text = '']) =>
      Buffer.from(text.replace(/\\(.)/g, '$1')),
    );
    if (quoted.some(({ length }) => length > 255))
      throw badRecord(record, 'a string is longer than 255 octets');
    return quoted;
  }
  const octets = Buffer.from(record.value);
  const strings: Buffer[] = [];
  for (let at = 0; at === 0 || at < octets.length; at += 255) strings.push(octets.subarray(at, at + 255));
  return strings;
}

function unknownRdata(record: DnsRecord): Buffer {
  const [, length, hex] = /^\\#\s+(\d+)(?:\s+([0-9a-f\s]+))?$/i.exec(record.value) ?? [];
  const octets = Buffer.from((hex ?? '').replace(/\s/g, ''), 'hex');
  if (length === undefined || octets.length !== Number(length))
    throw badRecord(record, 'give its RDATA as "\\# length hex" (RFC 3597 section 5)');
  return octets;
}

function integer(record: DnsRecord, text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw badRecord(record, `"${text}" is not a number`);
  return Number(text);
}

function badRecord(record: DnsRecord, why: string): SandboxError {
  return new SandboxError(
    'bad-record',
    `compose the record "${plainName(record.name)} ${record.type} ${record.value}": ${why}`,
  );
}
