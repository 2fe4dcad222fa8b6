/** RDATA as text: the presentation format of each type that dns2 takes apart, RFC 3597 for all others. */
import type { Packet } from 'dns2';
import { TYPE, typeName } from '../protocol/words/types.ts';

type Resource = Packet['answers'][number];

export function rdataText(record: Resource): string {
  const { type } = record;
  switch (type) {
    case TYPE.A:
    case TYPE.AAAA:
      return record.address ?? '';
    case TYPE.CNAME:
    case TYPE.PTR:
      return nameText(record.domain);
    case TYPE.NS:
      return nameText(record.ns);
    case TYPE.MX:
      return `${record.priority} ${nameText(record.exchange)}`;
    case TYPE.SRV:
      return `${record.priority} ${record.weight} ${record.port} ${nameText(record.target)}`;
    case TYPE.TXT:
    case TYPE.SPF:
      return [record.data ?? []].flat().map(stringText).join(' ');
    case TYPE.HINFO:
      return characterStrings(octetsOf(record)).map(stringText).join(' ');
    case TYPE.SOA: {
      const { primary, admin, serial, refresh, retry, expiration, minimum } = record;
      return [nameText(primary), nameText(admin), serial, refresh, retry, expiration, minimum].join(' ');
    }
    case TYPE.DNSKEY:
      return [record.flags, record.protocol, record.algorithm, record.key].join(' ');
    case TYPE.RRSIG:
      return signatureText(record);
    default:
      return unknownText(octetsOf(record));
  }
}

function nameText(name: string | undefined): string {
  return name === undefined || name === '' ? '.' : name;
}

function octetsOf({ data }: Resource): Buffer {
  return Buffer.isBuffer(data) ? data : Buffer.alloc(0);
}

function stringText(text: string | Buffer): string {
  return `"${String(text).replaceAll(/["\\]/g, '\\$&')}"`;
}

/** RFC 1035 section 3.3: a length octet before each. */
function characterStrings(octets: Buffer): Buffer[] {
  const strings: Buffer[] = [];
  for (let at = 0; at < octets.length; at += 1 + (octets[at] ?? 0)) {
    strings.push(octets.subarray(at + 1, at + 1 + (octets[at] ?? 0)));
  }
  return strings;
}

function signatureText(record: Resource): string {
  const {
    sigType = 0,
    algorithm,
    labels,
    originalTtl,
    expiration,
    inception,
    keyTag,
    signer,
    signature,
  } = record;
  const numbers = [typeName(sigType), algorithm, labels, originalTtl, expiration, inception, keyTag];
  return [...numbers, nameText(signer), signature].join(' ');
}

/** RFC 3597 section 5. */
function unknownText(octets: Buffer): string {
  return octets.length === 0 ? '\\# 0' : `\\# ${octets.length} ${octets.toString('hex')}`;
}
