/** Resource records from presentation form, in the shapes that dns2 composes. */
import { Packet } from 'dns2';
import { rdataFromText } from '../src/protocol/wire/presentation.ts';
import { CLASS } from '../src/protocol/words/classes.ts';
import { NameError, nameToWire } from '../src/protocol/words/name.ts';
import { TYPE, typeFromText } from '../src/protocol/words/types.ts';
import type { DnsRecord } from './facts.ts';
import { plainName } from './region-state.ts';
import { SandboxError } from './sandbox-error.ts';

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
