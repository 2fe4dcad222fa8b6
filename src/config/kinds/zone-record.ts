/**
 * One line of a zone's `records`: `owner [ttl] [IN] TYPE data`, a small part of the presentation format of RFC 1035
 * section 5.1. A name with dots in it must end in a dot: a zone file would append the zone to it otherwise, which is rarely meant.
 */
import { isAtOrUnder } from '../../protocol/words/name.ts';
import type { ResourceRecord } from '../../protocol/words/resource-record.ts';
import { recordFault, TYPES_TO_USE } from '../../protocol/words/zone-rules.ts';
import type { Reading } from '../key.ts';
import { addressText, parseAddress } from './address.ts';
import { readDomainName, readName } from './text.ts';

interface Head {
  /** In canonical form: the full name. */
  readonly owner: string;
  readonly ttlSeconds: number;
}

/** A record of ours, of a type that an operator may write. */
export type ZoneRecord = Exclude<ResourceRecord, { readonly type: 'SOA' | 'HINFO' }>;

const DEFAULT_TTL_SECONDS = 60;
const LONGEST_TTL_SECONDS = 604_800; // a week; RFC 8767 section 4 advises caches to cap there

/** `zone` in canonical form. */
export function readZoneRecord(text: string, zone: string): Reading<ZoneRecord> {
  const match = /^\s*(\S+)\s+(?:([0-9]\S*)\s+)?(?:IN\s+)?([A-Za-z][A-Za-z0-9]*)\s+(\S.*?)\s*$/.exec(text);
  if (match === null) return { message: 'not a record', fix: RECORD_FORM };
  const [, ownerText = '', ttlText, typeText = '', dataText = ''] = match;
  const owner = readOwner(ownerText, zone);
  if (!('value' in owner)) return owner;
  const ttlSeconds = ttlText === undefined ? DEFAULT_TTL_SECONDS : ttlOf(ttlText);
  if (ttlSeconds === undefined) {
    return { message: `TTL "${ttlText}" is not a number of seconds from 1 to ${LONGEST_TTL_SECONDS}` };
  }
  const data = readData({ owner: owner.value, ttlSeconds }, typeText.toUpperCase(), dataText, zone);
  return 'value' in data ? (recordFault(data.value, zone) ?? data) : data;
}

export const RECORD_FORM = 'write owner, TTL (may be left out), type and data: "www A 10.0.0.5"';

function ttlOf(text: string): number | undefined {
  const seconds = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
  return seconds >= 1 && seconds <= LONGEST_TTL_SECONDS ? seconds : undefined;
}

function readData(head: Head, type: string, text: string, zone: string): Reading<ZoneRecord> {
  switch (type) {
    case 'A':
    case 'AAAA':
      return readAddress(head, type, text);
    case 'CNAME':
    case 'PTR':
    case 'NS':
      return readPointer(head, type, text, zone);
    case 'MX':
      return readMx(head, text, zone);
    case 'TXT': {
      const strings = readTextStrings(text);
      return 'value' in strings ? { value: { ...head, type, strings: strings.value } } : strings;
    }
    default:
      return { message: `type "${type}" is not supported`, fix: TYPES_TO_USE };
  }
}

function readAddress(head: Head, type: 'A' | 'AAAA', text: string): Reading<ZoneRecord> {
  const address = parseAddress(text);
  if (address === undefined || text.includes('%')) return { message: `"${text}" is not an IP address` };
  const needed = address.kind() === 'ipv4' ? 'A' : 'AAAA';
  if (type !== needed)
    return { message: `"${text}" does not go with type ${type}`, fix: `write type ${needed}` };
  return { value: { ...head, type, address: addressText(address) } };
}

function readPointer(
  head: Head,
  type: 'CNAME' | 'PTR' | 'NS',
  text: string,
  zone: string,
): Reading<ZoneRecord> {
  const target = readTarget(text, zone);
  return 'value' in target ? { value: { ...head, type, target: target.value } } : target;
}

function readMx(head: Head, text: string, zone: string): Reading<ZoneRecord> {
  const match = /^([0-9]{1,5})\s+(\S+)$/.exec(text);
  const preference = Number(match?.[1] ?? Number.NaN);
  if (match === null || preference > 65_535) {
    return {
      message: `"${text}" is not the data of an MX record`,
      fix: 'write preference and name, such as "10 mail"',
    };
  }
  const exchange = readTarget(match[2] ?? '', zone);
  if (!('value' in exchange)) return exchange;
  return { value: { ...head, type: 'MX', preference, exchange: exchange.value } };
}

function readOwner(text: string, zone: string): Reading<string> {
  const isFull = text.endsWith('.');
  const name = text === '@' ? { value: zone } : readName(text);
  if (!('value' in name)) return { ...name, message: `owner "${text}": ${name.message}` };
  if (text === '@' || isFull) return name;
  if (isAtOrUnder(name.value, zone)) {
    return {
      message: `owner "${text}" would be ${name.value}.${zone}`,
      fix: `write the last dot: "${name.value}."`,
    };
  }
  return readName(`${name.value}.${zone}`);
}

function readTarget(text: string, zone: string): Reading<string> {
  if (text === '@') return { value: zone };
  const name = readDomainName(text);
  if (!('value' in name)) return { ...name, message: `name "${text}": ${name.message}` };
  if (text.endsWith('.')) return name;
  if (!name.value.includes('.')) return readName(`${name.value}.${zone}`);
  return {
    message: `"${text}" could be a full name or one below ${zone}`,
    fix: `write "${name.value}." for the full name, or "${name.value}.${zone}."`,
  };
}

/** Strings, in quotes or without, to the character-strings of RFC 1035 section 3.3. */
function readTextStrings(text: string): Reading<readonly string[]> {
  const strings: string[] = [];
  for (const token of text.matchAll(/"((?:[^"\\]|\\.)*)"(?=\s|$)|([^\s"]+)(?=\s|$)|(\S)/g)) {
    if (token[3] !== undefined) {
      return {
        message: 'a quote that is not closed, or not set apart by spaces',
        fix: 'write each string as "text", with \\" for a quote in it',
      };
    }
    const string = unescaped(token[1] ?? token[2] ?? '');
    if (string === undefined)
      return { message: 'an escape other than \\" and \\\\', fix: 'write the character itself' };
    strings.push(string);
  }
  return { value: strings };
}

function unescaped(text: string): string | undefined {
  if (/\\(?!["\\])/.test(text.replaceAll('\\\\', ''))) return undefined;
  return text.replace(/\\(["\\])/g, '$1');
}
