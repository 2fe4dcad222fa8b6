import { createHash } from 'node:crypto';
import { canonicalJson, isDeeperThan } from './canonical-json.ts';

/**
 * The envelope of every state file that a person can read at 3 a.m. and carry to another host: JSON that says what it is
 * and carries a checksum over all that it says.
 *
 *     { "about": [...], "format": "outpost-dns ...", "version": 1, "generation": 42, "writtenAt": "2026-...Z",
 *       "checksum": "sha256:...", and the content }
 *
 * The checksum is the SHA-256, in lower-case hex, of this text in UTF-8: the whole object without its member
 * `checksum`, members sorted by key at every level, no white space anywhere, no line feed at the end. By hand:
 *
 *     jq -jcS 'del(.checksum)' FILE | sha256sum
 *
 * So layout is free, and everything that is said is covered: members that this version does not know are ignored by
 * it, but not by the checksum. A new member needs no new version; a new word in an enumeration or another meaning does.
 */

const MAX_DEPTH = 32; // our own is 6; bounds the recursion over a file that somebody else wrote

/** What one kind of file says of itself. */
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
  | { readonly kind: 'encoded'; readonly octets: Uint8Array }
  | { readonly kind: 'refused'; readonly detail: string };

/** Composes the file; `content` comes behind the members of the envelope, in its own order. */
export function composeCheckedJson(
  envelope: Envelope,
  content: Readonly<Record<string, unknown>>,
): Uint8Array {
  const { format, version, about, lineDepth } = envelope;
  const { generation, writtenAt, ...rest } = content;
  const whole: Record<string, unknown> = {
    about,
    format,
    version,
    generation,
    writtenAt,
    checksum: '',
    ...rest,
  };
  whole['checksum'] = checksumOf(whole);
  return new TextEncoder().encode(`${print(whole, 0, lineDepth)}\n`);
}

/** JSON with two spaces an indent, and what is nested deeper than `lineDepth` on one line. */
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

/** Takes the envelope off, whatever the octets are; never throws. What the content means is the caller's to judge. */
export function parseCheckedJson(
  envelope: Envelope,
  octets: Uint8Array,
): { readonly kind: 'ok'; readonly content: Readonly<Record<string, unknown>> } | DecodeFault {
  const { format, maxOctets } = envelope;
  if (octets.length === 0) return corrupt('empty', 'the file holds no octet');
  if (octets.length > maxOctets) return corrupt('too-large', `more than ${maxOctets} octets`);
  const parsed = parseJson(octets);
  if ('fault' in parsed) return parsed.fault;
  const content = parsed.value;
  if (!isObject(content) || content['format'] !== format) {
    return { kind: 'foreign', reason: 'not-our-format', detail: `"format" is not "${format}"` };
  }
  const { version, checksum } = content;
  if (!isCount(version) || version === 0) {
    return corrupt('bad-header', `"version" is no positive number`);
  }
  if (version > envelope.version) return { kind: 'newer', version };
  if (isDeeperThan(content, MAX_DEPTH)) return corrupt('too-deep', `more than ${MAX_DEPTH} levels`);
  if (checksum !== checksumOf(content)) {
    return corrupt('checksum-mismatch', 'the content is not what was written');
  }
  return { kind: 'ok', content };
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

export function corrupt(reason: CorruptReason, detail: string): DecodeFault {
  return { kind: 'corrupt', reason, detail };
}

function checksumOf(content: object): string {
  const text = canonicalJson({ ...content, checksum: undefined });
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** Wall ms as the files have them. Throws RangeError when `ms` is no time. */
export function moment(ms: number): string {
  return new Date(Math.round(ms)).toISOString();
}
