/**
 * Resource records as text and back, in the presentation format of RFC 1035 section 5.1. A type without a row in the table is
 * written as `\# length hex` (RFC 3597 section 5). It reads octets that anybody may have written: nothing throws, all work is bounded.
 */
import { isIPv4 } from 'node:net';
import { typeFromText, typeName } from '../words/codes.ts';
import { NameError, nameFromWire, nameToWire } from '../words/name.ts';
import {
  expandName,
  FIXED_RR_OCTETS,
  putUint16,
  putUint32,
  skipName,
  uint16At,
  uint32At,
  wholeNameEnd,
} from './message.ts';

/** The fields of each type's RDATA, in their order; `FIELDS` below explains each word. */
const TABLE = `
  A ipv4
  AAAA ipv6
  NS name
  CNAME name
  PTR name
  DNAME name
  SOA name name u32 u32 u32 u32 u32
  MX u16 name
  SRV u16 u16 u16 name
  HINFO string string
  TXT strings
  SPF strings
  CAA u8 word text
  DS u16 u8 u8 hex
  DNSKEY u16 u8 u8 base64
  RRSIG type u8 u8 u32 time time u16 name base64
`;

/** A record inside a message; all numbers are offsets. */
export interface RecordPlace {
  readonly section: 'answer' | 'authority' | 'additional';
  readonly ownerAt: number;
  readonly typeAt: number;
  readonly rdataAt: number;
  readonly end: number;
}

const SECTIONS = ['answer', 'authority', 'additional'] as const;

/** All records of a message that has been indexed without a fault, so that each of them lies inside it. */
export function recordPlaces(message: Uint8Array, questionEnd: number): RecordPlace[] {
  const places: RecordPlace[] = [];
  let at = questionEnd;
  for (const [number, section] of SECTIONS.entries()) {
    for (let left = uint16At(message, 6 + number * 2); left > 0; left--) {
      const typeAt = skipName(message, at, message.length);
      if (typeAt < 0) return places; // a truncated message: the records that are whole
      const rdataAt = typeAt + FIXED_RR_OCTETS;
      const end = rdataAt + uint16At(message, typeAt + 8);
      if (end > message.length) return places;
      places.push({ section, ownerAt: at, typeAt, rdataAt, end });
      at = end;
    }
  }
  return places;
}

/** The text of a name that may be compressed; `?` where it is broken. */
export function nameText(message: Uint8Array, start: number): string {
  const name = expandName(message, start);
  return name === undefined ? '?' : nameFromWire(name);
}

/** RDATA as text. RDATA without the layout of its type is written as RFC 3597 section 5 has it. */
export function rdataText(message: Uint8Array, { typeAt, rdataAt, end }: RecordPlace): string {
  const layout = layouts.get(uint16At(message, typeAt));
  return (layout && layoutText(message, layout, rdataAt, end)) ?? unknownText(message.subarray(rdataAt, end));
}

function layoutText(
  message: Uint8Array,
  layout: readonly Field[],
  start: number,
  end: number,
): string | undefined {
  const texts: string[] = [];
  let at = start;
  for (const field of layout) {
    const next = field.end(message, at, end);
    if (next < 0 || next > end) return undefined;
    texts.push(field.text(message, at, next));
    at = next;
  }
  return at === end ? texts.join(' ') : undefined;
}

function unknownText(data: Uint8Array): string {
  return data.length === 0 ? '\\# 0' : `\\# ${data.length} ${Buffer.from(data).toString('hex')}`;
}

/** The octets of RDATA that is given as text, its names uncompressed and in lower case; or why it cannot be read. */
export function rdataFromText(
  type: number,
  text: string,
): { readonly octets: Uint8Array } | { readonly fault: string } {
  const words = wordsOf(text);
  if (words[0] === '\\#') return unknownFromWords(words);
  const layout = layouts.get(type);
  if (layout === undefined) return { fault: 'give its RDATA as "\\# length hex" (RFC 3597 section 5)' };
  const parts: Uint8Array[] = [];
  for (const [index, field] of layout.entries()) {
    const isLast = index === layout.length - 1;
    const taken = words.splice(0, isLast && field.takesRest === true ? words.length : 1);
    if (taken.length === 0)
      return { fault: `${layout.length} fields make a record of type ${typeName(type)}` };
    const octets = octetsOf(field, taken);
    if ('fault' in octets) return octets;
    parts.push(octets.octets);
  }
  if (words.length > 0) return { fault: `"${words[0]}" is more than a record of its type has` };
  return { octets: Buffer.concat(parts) };
}

function octetsOf(
  field: Field,
  words: readonly string[],
): { readonly octets: Uint8Array } | { readonly fault: string } {
  try {
    const octets = field.octets(words);
    return octets === undefined ? { fault: `"${words.join(' ')}" is not ${field.what}` } : { octets };
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    return { fault: error.message };
  }
}

function unknownFromWords([, length, ...hex]: readonly string[]):
  | { readonly octets: Uint8Array }
  | { readonly fault: string } {
  const octets = Buffer.from(hex.join(''), 'hex');
  return String(octets.length) === length
    ? { octets }
    : { fault: 'give its RDATA as "\\# length hex" (RFC 3597 section 5)' };
}

/** The words of a text; a quoted word keeps its quotes, so that it differs from a bare word. */
function wordsOf(text: string): string[] {
  return text.match(/"(?:[^"\\]|\\.)*"|\S+/gs) ?? [];
}

interface Field {
  /** The form that a text must have; a fault quotes it. */
  readonly what: string;
  /** As the last field, this field takes all remaining words. */
  readonly takesRest?: boolean;
  /** The offset after the field that starts at `at`; negative, or past `end`, where it is broken. */
  end(message: Uint8Array, at: number, end: number): number;
  text(message: Uint8Array, at: number, end: number): string;
  /** `undefined` where the words are not such a field. Throws NameError. */
  octets(words: readonly string[]): Uint8Array | undefined;
}

const FIELDS: Readonly<Record<string, Field>> = {
  u8: integer(1),
  u16: integer(2),
  u32: integer(4),
  ipv4: {
    what: 'an IPv4 address',
    end: (_message, at) => at + 4,
    text: (message, at, end) => message.subarray(at, end).join('.'),
    octets: ([word = '']) => (isIPv4(word) ? Uint8Array.from(word.split('.'), Number) : undefined),
  },
  ipv6: {
    what: 'an IPv6 address',
    end: (_message, at) => at + 16,
    text: ipv6Text,
    octets: ([word = '']) => ipv6Octets(word),
  },
  name: {
    what: 'a domain name',
    end: wholeNameEnd,
    text: nameText,
    octets: ([word = '']) => nameToWire(word),
  },
  type: {
    what: 'a record type',
    end: (_message, at) => at + 2,
    text: (message, at) => typeName(uint16At(message, at)),
    octets: ([word = '']) => {
      const type = typeFromText(word);
      return type === undefined ? undefined : Uint8Array.of(type >>> 8, type);
    },
  },
  time: {
    what: 'a time such as 20260101000000', // RFC 4034 section 3.2
    end: (_message, at) => at + 4,
    text: (message, at) => new Date(uint32At(message, at) * 1000).toISOString().replace(/\..*|\D/g, ''),
    octets: ([word = '']) => {
      const iso = word.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/, '$1-$2-$3T$4:$5:$6Z');
      const seconds = Date.parse(iso) / 1000;
      return iso === word || Number.isNaN(seconds) ? undefined : integerOctets(4, seconds);
    },
  },
  string: {
    what: 'a string of at most 255 octets',
    end: stringEnd,
    text: (message, at, end) => quoted(message.subarray(at + 1, end)),
    octets: ([word = '']) => characterString(word),
  },
  strings: {
    what: 'strings of at most 255 octets each',
    takesRest: true,
    end: (message, at, end) => {
      let next = stringEnd(message, at, end);
      while (next >= 0 && next < end) next = stringEnd(message, next, end);
      return next;
    },
    text: (message, at, end) => {
      const texts: string[] = [];
      for (let next = at; next < end; next += 1 + (message[next] ?? 0)) {
        texts.push(quoted(message.subarray(next + 1, next + 1 + (message[next] ?? 0))));
      }
      return texts.join(' ');
    },
    octets: (words) => {
      const strings = words.map(characterString);
      return strings.every((string) => string !== undefined) ? Buffer.concat(strings) : undefined;
    },
  },
  // RFC 8659 section 4.1: a tag has letters and digits alone
  word: {
    what: 'letters and digits',
    end: (message, at, end) => {
      const next = stringEnd(message, at, end);
      return /^[a-z0-9]+$/i.test(Buffer.from(message.subarray(at + 1, next)).toString('latin1')) ? next : -1;
    },
    text: (message, at, end) => quoted(message.subarray(at + 1, end)).slice(1, -1),
    octets: ([word = '']) => (/^[a-z0-9]+$/i.test(word) ? characterString(word) : undefined),
  },
  text: {
    what: 'a text',
    end: (_message, _at, end) => end,
    text: (message, at, end) => quoted(message.subarray(at, end)),
    octets: ([word = '']) => unescaped(word),
  },
  hex: binary('hex', 'hexadecimal'),
  base64: binary('base64', 'base64'),
};

const layouts = new Map<number, readonly Field[]>();
for (const row of TABLE.trim().split('\n')) {
  const [type = '', ...words] = row.trim().split(' ');
  layouts.set(typeFromText(type) ?? 0, words.map(fieldOf));
}

function fieldOf(word: string): Field {
  const field = FIELDS[word];
  if (field === undefined) throw new Error(`no such field of RDATA: "${word}"`);
  return field;
}

function integer(length: 1 | 2 | 4): Field {
  return {
    what: `a number up to ${256 ** length - 1}`,
    end: (_message, at) => at + length,
    text: (message, at) => {
      if (length === 1) return String(message[at]);
      return String(length === 2 ? uint16At(message, at) : uint32At(message, at));
    },
    octets: ([word = '']) =>
      /^\d{1,10}$/.test(word) && Number(word) < 256 ** length
        ? integerOctets(length, Number(word))
        : undefined,
  };
}

function integerOctets(length: 1 | 2 | 4, value: number): Uint8Array {
  const octets = new Uint8Array(length);
  if (length === 1) octets[0] = value;
  else if (length === 2) putUint16(octets, 0, value);
  else putUint32(octets, 0, value);
  return octets;
}

/** Octets to the end of the RDATA; spaces between the words mean nothing. */
function binary(encoding: 'hex' | 'base64', what: string): Field {
  return {
    what,
    takesRest: true,
    end: (_message, at, end) => (end > at ? end : -1),
    text: (message, at, end) => Buffer.from(message.subarray(at, end)).toString(encoding),
    octets: (words) => {
      const octets = Buffer.from(words.join(''), encoding);
      return octets.toString(encoding).toLowerCase() === words.join('').toLowerCase() ? octets : undefined;
    },
  };
}

function ipv6Text(message: Uint8Array, at: number): string {
  const groups = Array.from({ length: 8 }, (_, group) => uint16At(message, at + group * 2).toString(16));
  return canonicalIpv6(groups.join(':'));
}

/** Writes an address in the form of RFC 5952, as the URL parser does. Throws TypeError. */
function canonicalIpv6(text: string): string {
  return new URL(`http://[${text}]`).hostname.slice(1, -1);
}

function ipv6Octets(text: string): Uint8Array | undefined {
  if (!URL.canParse(`http://[${text}]`)) return undefined;
  const [head = '', tail] = canonicalIpv6(text).split('::', 2);
  const groups = (part: string) => part.split(':').filter((group) => group !== '');
  const [before, after] = [groups(head), groups(tail ?? '')];
  const between = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return Uint8Array.from(
    [...before, ...between, ...after].flatMap((group) => [...integerOctets(2, Number.parseInt(group, 16))]),
  );
}

/** RFC 1035 section 3.3: a length octet before the string. */
function stringEnd(message: Uint8Array, at: number, end: number): number {
  return at < end ? at + 1 + (message[at] ?? 0) : -1;
}

function characterString(word: string): Uint8Array | undefined {
  const octets = unescaped(word);
  return octets === undefined || octets.length > 255 ? undefined : Uint8Array.of(octets.length, ...octets);
}

/** RFC 1035 section 5.1: quotes, backslashes and octets that cannot be printed are escaped. */
function quoted(string: Uint8Array): string {
  const text = Array.from(string, (octet) => {
    if (octet < 0x20 || octet > 0x7e) return `\\${String(octet).padStart(3, '0')}`;
    const character = String.fromCharCode(octet);
    return character === '"' || character === '\\' ? `\\${character}` : character;
  });
  return `"${text.join('')}"`;
}

/** A word without its quotes and escapes; `undefined` where an escape is above 255. */
function unescaped(word: string): Uint8Array | undefined {
  const inner = /^"(.*)"$/s.exec(word)?.[1] ?? word;
  const parts = inner.match(/\\\d{3}|\\.|[^\\]+/gs) ?? [];
  const octets = parts.map((part) => {
    const decimal = /^\\(\d{3})$/.exec(part)?.[1];
    if (decimal === undefined) return Buffer.from(part.replace(/^\\/, ''));
    return Number(decimal) > 255 ? undefined : Buffer.of(Number(decimal));
  });
  return octets.every((part) => part !== undefined) ? Buffer.concat(octets) : undefined;
}
