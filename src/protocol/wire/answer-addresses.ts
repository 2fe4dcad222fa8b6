/** The addresses in the answer to a question. */
import { TYPE } from '../words/types.ts';
import { MAX_ALIASES } from './alias-chain.ts';
import { nameKey } from './compressed-name.ts';
import { HEADER_OCTETS, uint32At } from './header.ts';
import { boundedTtl, forEachRecord, type ResponseIndex, SECTION } from './response-records.ts';

export interface AnswerAddresses {
  /** IPv4 addresses reached from the question's name, through aliases, in the order of the message. */
  readonly addresses: readonly string[];
  /** The smallest TTL on the way; 0 without addresses. */
  readonly ttlSeconds: number;
}

/** Reads the A records that answer the question, aliases followed inside this one message. */
export function readAddresses(message: Uint8Array, index: ResponseIndex): AnswerAddresses {
  const owners = new Map<string, { addresses: string[]; alias?: string; ttl: number }>();
  forEachRecord(message, index, ({ section, type, ownerAt, typeAt, rdataAt, end }) => {
    if (section !== SECTION.answer || (type !== TYPE.A && type !== TYPE.CNAME)) return;
    const owner = nameKey(message, ownerAt);
    const entry = owners.get(owner) ?? { addresses: [], ttl: Number.POSITIVE_INFINITY };
    if (type === TYPE.A) entry.addresses.push(message.subarray(rdataAt, end).join('.'));
    else entry.alias = nameKey(message, rdataAt);
    entry.ttl = Math.min(entry.ttl, boundedTtl(uint32At(message, typeAt + 4)));
    owners.set(owner, entry);
  });
  return followAliases(owners, nameKey(message, HEADER_OCTETS));
}

function followAliases(
  owners: ReadonlyMap<string, { addresses: string[]; alias?: string; ttl: number }>,
  start: string,
): AnswerAddresses {
  let name = start;
  let ttlSeconds = Number.POSITIVE_INFINITY;
  for (let step = 0; step < MAX_ALIASES; step++) {
    const entry = owners.get(name);
    if (entry === undefined) break;
    ttlSeconds = Math.min(ttlSeconds, entry.ttl);
    if (entry.addresses.length > 0) return { addresses: entry.addresses, ttlSeconds };
    if (entry.alias === undefined) break;
    name = entry.alias;
  }
  return { addresses: [], ttlSeconds: 0 };
}
