/**
 * Converts domain names between text and octets. Text is lower case, without the trailing dot; the root is `.`. Octets that are
 * not printable, or have a meaning of their own, are escaped as in RFC 1035 section 5.1.
 */

const MAX_LABEL = 63; // RFC 1035 section 2.3.4
/** On the wire, length octets and root included (RFC 1035 section 2.3.4). */
export const MAX_NAME_OCTETS = 255;

/** ASCII lower case of each octet (RFC 4343); other octets stay. A table, because names are compared octet by octet. */
export const LOWER_CASE: Uint8Array = Uint8Array.from({ length: 256 }, (_, octet) =>
  octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet,
);

export type NameFault = 'empty-label' | 'label-too-long' | 'name-too-long' | 'bad-escape';

/** A text that is no domain name; `code` names the fault of `text`. */
export class NameError extends Error {
  override readonly name = 'NameError';
  readonly code: NameFault;
  readonly text: string;

  constructor(code: NameFault, text: string) {
    super(`not a domain name: "${text}": ${code.replaceAll('-', ' ')}`);
    this.code = code;
    this.text = text;
  }
}

/** Octets of a name in wire form, uncompressed, lower-cased as comparisons need it (RFC 4343). Throws NameError. */
export function nameToWire(text: string): Uint8Array {
  const plain = plainToWire(text);
  if (plain !== undefined) return plain;
  const octets: number[] = [];
  if (text !== '.' && text !== '') {
    for (const label of labelsOf(text)) {
      if (label.length === 0) throw new NameError('empty-label', text);
      if (label.length > MAX_LABEL) throw new NameError('label-too-long', text);
      octets.push(label.length, ...label);
    }
  }
  octets.push(0);
  if (octets.length > MAX_NAME_OCTETS) throw new NameError('name-too-long', text);
  return Uint8Array.from(octets);
}

/**
 * A name without escapes, in one pass: a start makes the wire form of several hundred names. `undefined` for any other text, and
 * for a fault. The character at `i` is the octet at `i + 1`, and the octet before a label is its length.
 */
function plainToWire(text: string): Uint8Array | undefined {
  if (text.length > MAX_NAME_OCTETS - 1) return undefined;
  const octets = new Uint8Array(text.length + 2);
  let label = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH || code >= 0x80) return undefined;
    if (code !== DOT) {
      octets[at + 1] = LOWER_CASE[code] ?? 0;
      continue;
    }
    if (at === label || at - label > MAX_LABEL) return undefined;
    octets[label] = at - label;
    label = at + 1;
  }
  const length = text.length - label;
  if (length === 0) return octets.slice(0, label + 1);
  if (length > MAX_LABEL || octets.length > MAX_NAME_OCTETS) return undefined;
  octets[label] = length;
  return octets;
}

function labelsOf(text: string): number[][] {
  const labels: number[][] = [];
  let label: number[] = [];
  const octets = new TextEncoder().encode(text);
  for (let at = 0; at < octets.length; at++) {
    const octet = octets[at] ?? 0;
    if (octet === DOT) {
      labels.push(label);
      label = [];
    } else if (octet === BACKSLASH) {
      const escaped = unescapeAt(octets, at, text);
      label.push(LOWER_CASE[escaped.octet] ?? 0);
      at += escaped.length;
    } else {
      label.push(LOWER_CASE[octet] ?? 0);
    }
  }
  if (label.length > 0 || octets.at(-1) !== DOT) labels.push(label);
  return labels;
}

function unescapeAt(octets: Uint8Array, at: number, text: string): { octet: number; length: number } {
  const digits = String.fromCharCode(...octets.subarray(at + 1, at + 4));
  if (/^\d{3}$/.test(digits)) {
    if (Number(digits) > 255) throw new NameError('bad-escape', text);
    return { octet: Number(digits), length: 3 };
  }
  const next = octets[at + 1];
  if (next === undefined || (next >= 0x30 && next <= 0x39)) throw new NameError('bad-escape', text);
  return { octet: next, length: 1 };
}

/** The text of an uncompressed wire name that starts at `offset`; lower case. */
export function nameFromWire(octets: Uint8Array, offset = 0): string {
  let text = '';
  let at = offset;
  for (let length = octets[at] ?? 0; length !== 0; length = octets[at] ?? 0) {
    if (text !== '') text += '.';
    for (let i = 1; i <= length; i++) text += octetText(LOWER_CASE[octets[at + i] ?? 0] ?? 0);
    at += length + 1;
  }
  return text === '' ? '.' : text;
}

function octetText(octet: number): string {
  if (octet <= 0x20 || octet >= 0x7f) return `\\${String(octet).padStart(3, '0')}`;
  const character = String.fromCharCode(octet);
  return '."\\;()@$'.includes(character) ? `\\${character}` : character;
}

/** Brings a name an operator or an API wrote into the one form used inside. Throws NameError. */
export function normalizeName(text: string): string {
  return nameFromWire(nameToWire(text));
}

/** Whether `name` is `apex` or lies under it; both in normal form. */
export function isAtOrUnder(name: string, apex: string): boolean {
  if (apex === '.' || name === apex) return true;
  // a dot after an odd number of backslashes is part of a label
  return name.endsWith(`.${apex}`) && /(?<!\\)(?:\\\\)*$/.test(name.slice(0, -apex.length - 1));
}

/** The name without its first label: `b.c` for `a.b.c`; `.` for a single label; `undefined` for the root. */
export function parentName(name: string): string | undefined {
  if (name === '.') return undefined;
  if (!name.includes('\\')) {
    const end = name.indexOf('.');
    return end < 0 ? '.' : name.slice(end + 1);
  }
  const dot = /(?<!\\)(?:\\\\)*\./.exec(name);
  return dot === null ? '.' : name.slice(dot.index + dot[0].length);
}

/**
 * Values by name or other text, in the order in which they come, for a short work with thousands of texts: what `NameMap` says
 * about a `Map` of strings holds here, too.
 */
export class TextMap<V> implements Iterable<TextEntry<V>> {
  readonly #entries: TextEntry<V>[] = [];
  /** By the hash of the text, once a search through all entries would take longer. */
  #byHash: Map<number, TextEntry<V>[]> | undefined;

  get(text: string): V | undefined {
    const near = this.#byHash === undefined ? this.#entries : (this.#byHash.get(hashText(text)) ?? []);
    return near.find(([known]) => known === text)?.[1];
  }

  /** `text` must not be in the map. */
  add(text: string, value: V): V {
    const entry: TextEntry<V> = [text, value];
    this.#entries.push(entry);
    if (this.#byHash !== undefined) enter(this.#byHash, entry);
    else if (this.#entries.length > MOST_SEARCHED) {
      this.#byHash = new Map();
      for (const known of this.#entries) enter(this.#byHash, known);
    }
    return value;
  }

  [Symbol.iterator](): Iterator<TextEntry<V>> {
    return this.#entries[Symbol.iterator]();
  }
}

type TextEntry<V> = readonly [text: string, value: V];

const MOST_SEARCHED = 8;

function enter<V>(byHash: Map<number, TextEntry<V>[]>, entry: TextEntry<V>): void {
  const hash = hashText(entry[0]);
  const known = byHash.get(hash);
  if (known === undefined) byHash.set(hash, [entry]);
  else known.push(entry);
}

function hashText(text: string): number {
  let hash = text.length;
  for (let at = 0; at < text.length; at++) hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0;
  return hash;
}

/** Labels of a name in normal form, the root not counted. */
export function labelCountOf(name: string): number {
  let count = 0;
  for (let rest = name; rest !== '.'; rest = parentName(rest) ?? '.') count++;
  return count;
}

/** The name under which PTR records of an IPv4 address are found (RFC 1035 section 3.5). */
export function reverseNameOfIpv4(address: string): string {
  return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
}

const DOT = 0x2e;
const BACKSLASH = 0x5c;
