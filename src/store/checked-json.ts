/**
 * The envelope of every state file in JSON: a person can read the file at 3 a.m., and carry it to another host. The file says
 * what it is, and has a checksum over all of its content. At the end: times and names, as the files have them. The envelope refuses
 * to know what the content means.
 *
 *     { "about": [...], "format": "outpost-dns ...", "version": 1, "generation": 42, "writtenAt": "2026-...Z",
 *       "checksum": "sha256:...", and the content }
 *
 * The checksum is a SHA-256 in lower-case hex. It covers the whole object without its member `checksum`, written as
 * UTF-8 with members sorted by key at every level, and without white space or a last line feed. By hand:
 *
 *     jq -jcS 'del(.checksum)' FILE | sha256sum
 *
 * So layout is free, and every member is covered: a version ignores members that it does not know, but its checksum does not.
 * A new member needs no new version; a new word in an enumeration, or another meaning of a member, does.
 */
import * as v from 'valibot';
import { normalizeName } from '../protocol/words/name.ts';
import { canonicalJson, isDeeperThan } from '../records/endpoint-record.ts';
import { createSha256 } from '../runtime/checksum.ts';
import { attemptRead, count, object, type Reader, text } from '../runtime/forms.ts';
import type { Steps } from '../runtime/slices.ts';

const MAX_DEPTH = 32; // our files have 6; bounds the recursion over a file that another program wrote

/** The members that describe a kind of file. */
export interface Envelope {
  /** The member `format`. */
  readonly format: string;
  readonly version: number;
  readonly about: readonly string[];
  readonly maxOctets: number;
  /** Arrays and objects nested this deep are printed in one line. */
  readonly lineDepth: number;
}

export type CorruptReason =
  | 'empty'
  | 'too-large'
  | 'not-utf8'
  | 'not-json'
  | 'too-deep'
  | 'bad-header'
  | 'checksum-mismatch'
  | 'bad-content';

/** Why a file cannot be taken. */
export type DecodeFault =
  | { readonly kind: 'corrupt'; readonly reason: CorruptReason; readonly detail: string }
  | { readonly kind: 'foreign'; readonly reason: 'not-our-format'; readonly detail: string }
  | { readonly kind: 'newer'; readonly version: number };

export type Encoded =
  /** `leftOut`: the number of items for which there was no room; absent where all are in. */
  | { readonly kind: 'encoded'; readonly octets: Uint8Array; readonly leftOut?: number }
  | { readonly kind: 'refused'; readonly detail: string };

/** The content of a file, the number of the write that made the file, and the time of that write. */
export interface Written<Content> {
  /** Counts the writes. */
  readonly generation: number;
  /** Wall ms. */
  readonly writtenAtMs: number;
  readonly content: Content;
}

export type Decoded<Content> = { readonly kind: 'ok'; readonly file: Written<Content> } | DecodeFault;

/** A file whose content is one list: its envelope, and how an item goes into the file and comes out of it. */
export interface CheckedList<Item> {
  readonly envelope: Envelope;
  /** The name of the member that holds the list; this member is the last. */
  readonly key: string;
  /** Throws RangeError where a time is out of range. */
  readonly compose: (item: Item) => object;
  readonly reader: Reader<Item>;
  /** Why an item may not be written; `undefined` where it may. */
  readonly refuse?: (item: Item) => string | undefined;
  /** The texts of items that were written before: an item that is still the same object is not composed again. */
  readonly composed?: WeakMap<Item & object, ItemTexts>;
}

/** An item as it stands in the file, and as it goes into the checksum. Octets, because the collector does not go through them. */
interface ItemTexts {
  readonly printed: Uint8Array;
  readonly canonical: Uint8Array;
}

/** Far more than stands around the list. */
const HEAD_OCTETS = 4096;
const LATEST_MS = Date.UTC(9999, 11, 31); // a year of four digits

export function isTime(ms: number): boolean {
  return ms >= 0 && ms <= LATEST_MS;
}

/** Composes the file, an item a step. Items for which there is no room under the bound of the envelope are left out. */
export function* encodeList<Item extends object>(
  list: CheckedList<Item>,
  { generation, writtenAtMs, content }: Written<readonly Item[]>,
): Steps<Encoded> {
  const refused = (detail: string): Encoded => ({ kind: 'refused', detail });
  if (!isTime(writtenAtMs)) return refused('the time is out of range');
  if (content.length > MAX_ITEMS) return refused(`${content.length} records are too many`);
  try {
    for (const item of content) {
      if (list.composed?.has(item)) continue;
      const reason = list.refuse?.(item);
      if (reason !== undefined) return refused(reason);
      yield;
    }
    return yield* composeList(list, { generation, writtenAt: moment(writtenAtMs) }, content);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // RangeError: a time is out of range
    return refused('a time is out of range');
  }
}

const SEPARATOR = Buffer.from(',\n    ');

function* composeList<Item extends object>(
  list: CheckedList<Item>,
  content: Readonly<Record<string, unknown>>,
  items: readonly Item[],
): Steps<Encoded> {
  const { envelope, key } = list;
  const { format, version, about, lineDepth, maxOctets } = envelope;
  const head: Record<string, unknown> = { about, format, version, ...content };
  const printed: Uint8Array[] = [];
  let room = maxOctets - HEAD_OCTETS;
  let leftOut = 0;
  function* texts(): Generator<Uint8Array | undefined> {
    for (const item of items) {
      const texts = textsOf(list, item);
      const needed = SEPARATOR.length + texts.printed.length;
      if (needed > room) {
        leftOut++;
        yield undefined;
      } else {
        printed.push(printed.length === 0 ? SEPARATOR.subarray(1) : SEPARATOR, texts.printed);
        room -= needed;
        yield texts.canonical;
      }
    }
  }
  head['checksum'] = yield* checksumOf(head, key, texts());
  const opening = print(head, 0, lineDepth).replace(/\n\}$/, `,\n  ${JSON.stringify(key)}: [`);
  const closing = `${printed.length === 0 ? '' : '\n  '}]\n}\n`;
  const octets = yield* joined([Buffer.from(opening), ...printed, Buffer.from(closing)]);
  return { kind: 'encoded', octets, ...(leftOut === 0 ? {} : { leftOut }) };
}

function textsOf<Item extends object>(
  { envelope, compose, composed }: CheckedList<Item>,
  item: Item,
): ItemTexts {
  const known = composed?.get(item);
  if (known !== undefined) return known;
  const value = compose(item);
  const texts = {
    printed: Buffer.from(print(value, 2, envelope.lineDepth)),
    canonical: Buffer.from(canonicalJson(value)),
  };
  composed?.set(item, texts);
  return texts;
}

/** One part a step: the memory for a thousand records is touched here for the first time, which costs more than the copy. */
function* joined(parts: readonly Uint8Array[]): Steps<Uint8Array> {
  const whole = Buffer.allocUnsafeSlow(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
    yield;
  }
  return whole;
}

/** JSON with indents of two spaces; values that are nested deeper than `lineDepth` stand on one line. */
function print(value: unknown, depth: number, lineDepth: number): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const isList = Array.isArray(value);
  const items = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .map(([key, item]) => `${isList ? '' : `${JSON.stringify(key)}: `}${print(item, depth + 1, lineDepth)}`);
  const [open, close] = isList ? '[]' : '{}';
  if (items.length === 0) return `${open}${close}`;
  if (depth >= lineDepth) return isList ? `[${items.join(', ')}]` : `{ ${items.join(', ')} }`;
  const indent = '  '.repeat(depth);
  return `${open}\n${indent}  ${items.join(`,\n${indent}  `)}\n${indent}${close}`;
}

/** Reads a file of any content, one item in a step; only JSON.parse runs in one piece. Never throws. */
export function* decodeList<Item>(
  { envelope, key, reader }: CheckedList<Item>,
  octets: Uint8Array,
): Steps<Decoded<readonly Item[]>> {
  const opened = openEnvelope(envelope, octets);
  if (opened.kind !== 'ok') return opened;
  const { [key]: list, checksum, ...rest } = opened.content;
  const isList = Array.isArray(list);
  const actual = isList
    ? yield* checksumOf(rest, key, canonicalTexts(list))
    : yield* checksumOf(opened.content, 'checksum');
  if (actual !== checksum) return corrupt('checksum-mismatch', 'the content is not what was written');
  const head = attemptRead(HEAD, rest);
  if (head.kind === 'mismatch') return corrupt('bad-content', head.text);
  if (!isList || list.length > MAX_ITEMS) return corrupt('bad-content', `${key}: not a list of records`);
  const content: Item[] = [];
  for (const [at, found] of list.entries()) {
    const item = attemptRead(reader, found);
    if (item.kind === 'mismatch') return corrupt('bad-content', `${key}.${at}.${item.text}`);
    content.push(item.content);
    yield;
  }
  const { generation, writtenAt } = head.content;
  return { kind: 'ok', file: { generation, writtenAtMs: writtenAt, content } };
}

function* canonicalTexts(items: readonly unknown[]): Generator<string> {
  for (const item of items) yield canonicalJson(item);
}

/**
 * The checksum over all `members` except `key`, and over a member `key` made of `items`. These are canonical texts, one in a
 * step; an item that is `undefined` is left out. Without `items` no member `key` counts.
 */
function* checksumOf(
  members: Readonly<Record<string, unknown>>,
  key: string,
  items?: Iterable<string | Uint8Array | undefined>,
): Steps<string> {
  const hash = createSha256();
  const add = (text: string | Uint8Array) => hash.update(Buffer.from(text));
  const others = Object.keys(members).filter((member) => member !== key);
  const names = items === undefined ? others : [...others, key];
  for (const [at, member] of names.sort().entries()) {
    add(`${at === 0 ? '{' : ','}${JSON.stringify(member)}:`);
    if (member !== key) {
      add(canonicalJson(members[member]));
      continue;
    }
    let separator = '[';
    for (const text of items ?? []) {
      if (text !== undefined) {
        add(separator);
        add(text);
        separator = ',';
      }
      yield;
    }
    add(separator === '[' ? '[]' : ']');
  }
  add('}');
  return `sha256:${Buffer.from(hash.digest()).toString('hex')}`;
}

type Opened = { readonly kind: 'ok'; readonly content: Readonly<Record<string, unknown>> } | DecodeFault;

function openEnvelope(envelope: Envelope, octets: Uint8Array): Opened {
  const { format, maxOctets } = envelope;
  if (octets.length === 0) return corrupt('empty', 'the file holds no octet');
  if (octets.length > maxOctets) return corrupt('too-large', `more than ${maxOctets} octets`);
  if (octets.length > PARSED_ANYWAY_OCTETS && !containsText(octets, format)) return foreign(format);
  const parsed = parseJson(octets);
  if ('fault' in parsed) return parsed.fault;
  const content = parsed.value;
  if (!isObject(content) || content['format'] !== format) return foreign(format);
  const { version } = content;
  if (!isCount(version) || version === 0) {
    return corrupt('bad-header', `"version" is no positive number`);
  }
  if (version > envelope.version) return { kind: 'newer', version };
  if (isDeeperThan(content, MAX_DEPTH)) return corrupt('too-deep', `more than ${MAX_DEPTH} levels`);
  return { kind: 'ok', content };
}

function containsText(octets: Uint8Array, format: string): boolean {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).includes(format);
}

/** A larger file that names its format nowhere is refused without parsing, which would stop the event loop. */
const PARSED_ANYWAY_OCTETS = 64 * 1024;

function foreign(format: string): DecodeFault {
  return { kind: 'foreign', reason: 'not-our-format', detail: `"format" is not "${format}"` };
}

function parseJson(octets: Uint8Array): { readonly value: unknown } | { readonly fault: DecodeFault } {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(octets);
  } catch {
    return { fault: corrupt('not-utf8', 'the file is not UTF-8') };
  }
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { fault: corrupt('not-json', 'the file is not JSON, or ends early') };
  }
}

function corrupt(reason: CorruptReason, detail: string): DecodeFault {
  return { kind: 'corrupt', reason, detail };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** The text of a time (wall ms) in the files. Throws RangeError when `ms` is no time. */
export function moment(ms: number): string {
  return new Date(Math.round(ms)).toISOString();
}

/** Items of one list; the size of the file is the bound that matters. */
export const MAX_ITEMS = 100_000;

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/;

/** Reads a time, to wall ms. */
export const time = v.pipe(
  text,
  v.regex(TIME, 'not a time such as 2026-01-31T09:30:00Z'),
  v.transform(Date.parse),
  v.finite('not a time of this calendar'),
);

/** Reads a domain name, to normal form; the root does not count as a name here. */
export const name = v.pipe(text, v.transform(normalForm), v.string('not a domain name'));

function normalForm(found: string): string | undefined {
  try {
    return found === '' || found === '.' ? undefined : normalizeName(found);
  } catch {
    return undefined;
  }
}

const HEAD = object({ generation: count, writtenAt: time });
