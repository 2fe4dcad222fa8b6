/** Reads one line of an operator's static records, `owner TYPE data`, into a record or a fault that says how to mend it. */
import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { isAtOrUnder, NameError, normalizeName } from '../../protocol/words/name.ts';
import type { RecordData, ResourceRecord } from '../../protocol/words/resource-record.ts';
import { LOCAL_TTL_SECONDS } from './shared-answers.ts';

/** A record, or in words why the line is none. */
export type ZoneRecord =
  | { readonly kind: 'record'; readonly record: ResourceRecord }
  | { readonly kind: 'fault'; readonly reason: string };

const MAX_STRING = 255; // octets, RFC 1035 section 3.3

/** Leaves the reading of a line; never leaves this file. */
class LineFault extends Error {}

/**
 * Reads a line of the zone at `apex` (in normal form). The owner is relative to the apex, `@` is the apex itself, and a
 * trailing dot makes the owner a whole name. Targets are whole names, with or without the dot, or `@`.
 */
export function readZoneRecord(line: string, apex: string): ZoneRecord {
  try {
    const [owner, type, ...data] = words(line);
    if (owner === undefined || type === undefined || data.length === 0) {
      throw new LineFault('expected "owner TYPE data"');
    }
    const record = {
      owner: ownerName(owner, apex),
      ttlSeconds: LOCAL_TTL_SECONDS,
      ...readData(type, data, apex),
    };
    if (record.type === 'NS' && record.owner !== apex) {
      throw new LineFault('NS is for "@" alone: give the zone below a rule of its own');
    }
    if (record.type === 'CNAME' && record.owner === apex) {
      // RFC 1034 section 3.6.2: nothing may stand beside a CNAME, and the apex has an SOA
      throw new LineFault("a zone's own name cannot be an alias");
    }
    return { kind: 'record', record };
  } catch (error) {
    if (error instanceof LineFault || error instanceof NameError)
      return { kind: 'fault', reason: error.message };
    throw error;
  }
}

/** Splits at blanks; `"..."` holds blanks together, with `\"` and `\\` inside. */
function words(line: string): string[] {
  const found: string[] = [];
  for (const [whole, quoted] of line.matchAll(/(?<!\S)"((?:[^"\\]|\\.)*)"(?!\S)|[^\s"]+|\S/g)) {
    if (quoted === undefined && whole.includes('"'))
      throw new LineFault('a quotation mark without its other half');
    found.push(quoted === undefined ? whole : quoted.replaceAll(/\\(.)/g, '$1'));
  }
  return found;
}

function ownerName(text: string, apex: string): string {
  if (text === '@') return apex;
  const name = supportedName(text);
  if (name === '*' || name.startsWith('*.')) throw new LineFault('wildcards are not supported');
  if (text.endsWith('.')) {
    if (!isAtOrUnder(name, apex)) throw new LineFault(`"${text}" is not in the zone "${apex}"`);
    return name;
  }
  if (apex === '.') return name;
  if (isAtOrUnder(name, apex)) {
    throw new LineFault(
      `"${text}" would be "${name}.${apex}": leave the zone out, or end the name with a dot`,
    );
  }
  return supportedName(`${name}.${apex}`);
}

function targetName(text: string | undefined, apex: string): string {
  if (text === undefined) throw new LineFault('the target is missing');
  if (text === '@') return apex;
  const name = supportedName(text);
  if (!name.includes('.') && !text.endsWith('.')) {
    throw new LineFault(
      `the target "${text}" has one label: write the whole name, or "${text}." where that is it`,
    );
  }
  return name;
}

function supportedName(text: string): string {
  const name = normalizeName(text);
  // dns2, which composes these records, knows no escapes
  if (name.includes('\\'))
    throw new LineFault(`the name "${text}" has an escaped octet, which is not supported`);
  return name;
}

function readData(type: string, data: readonly string[], apex: string): RecordData {
  const [first = '', second] = data;
  const upper = type.toUpperCase();
  if (upper !== 'TXT' && data.length !== (upper === 'MX' ? 2 : 1)) {
    throw new LineFault(
      upper === 'MX' ? 'expected a preference and a name' : `expected one value behind ${upper}`,
    );
  }
  switch (upper) {
    case 'A':
      if (!isIPv4(first)) throw new LineFault(`not an IPv4 address: "${first}"`);
      return { type: 'A', address: first };
    case 'AAAA':
      if (!isIPv6(first) || first.includes('%')) throw new LineFault(`not an IPv6 address: "${first}"`);
      return { type: 'AAAA', address: ipaddr.parse(first).toString() };
    case 'CNAME':
    case 'PTR':
    case 'NS':
      return { type: upper, target: targetName(first, apex) };
    case 'MX':
      if (!/^\d{1,5}$/.test(first) || Number(first) > 0xffff) {
        throw new LineFault(`not a preference from 0 to 65535: "${first}"`);
      }
      return { type: 'MX', preference: Number(first), exchange: targetName(second, apex) };
    case 'TXT':
      if (data.some((text) => Buffer.byteLength(text) > MAX_STRING)) {
        throw new LineFault(`a string longer than ${MAX_STRING} octets: split it in two`);
      }
      return { type: 'TXT', strings: data };
    default:
      throw new LineFault(
        `not a type that can be given here: "${type}": A, AAAA, CNAME, TXT, PTR, MX, NS can`,
      );
  }
}
