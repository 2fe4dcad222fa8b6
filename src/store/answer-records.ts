import { createHash } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { uint16At, uint32At } from '../protocol/wire/header.ts';
import { skipName } from '../protocol/wire/query.ts';
import { indexResponse } from '../protocol/wire/response.ts';
import { MAX_NAME_OCTETS, nameFromWire } from '../protocol/words/name.ts';
import { TYPE, typeName } from '../protocol/words/types.ts';

/**
 * What a response says, for people and for comparison: the records of its answer section, out of octets that anybody may
 * have written. Nothing here throws, and all work is bounded by the message.
 */

interface AnswerRecord {
  /** Offset of the owner, and of TYPE behind it. */
  readonly at: number;
  readonly typeAt: number;
  readonly rdataAt: number;
  readonly end: number;
}

/** A message is never changed, and is compared at every look and every save. */
const contents = new WeakMap<Uint8Array, string>();

/** The answer's content, whatever the order of its records, their TTLs and the message's ID: equal texts say the same. */
export function contentOf(message: Uint8Array): string {
  const known = contents.get(message);
  if (known !== undefined) return known;
  const content = composeContent(message);
  const text = content.length <= 256 ? content : createHash('sha256').update(content).digest('base64');
  contents.set(message, text);
  return text;
}

function composeContent(message: Uint8Array): string {
  const index = indexResponse(message);
  if (index.kind === 'fault') return index.reason;
  const data = answerRecords(message).map(({ typeAt, rdataAt, end }) => {
    const hex = (from: number, to: number) => Buffer.from(message.subarray(from, to)).toString('hex');
    return `${hex(typeAt, typeAt + 4)} ${hex(rdataAt, end)}`;
  });
  return [`${index.rcode}`, ...data.sort()].join('\n');
}

const MAX_LINES = 32;

/** The answer in the presentation format, a record a line: A, AAAA, CNAME and TXT in full, others as RFC 3597 section 5 has them. */
export function answerLines(message: Uint8Array): readonly string[] {
  if (indexResponse(message).kind === 'fault') return [];
  const records = answerRecords(message);
  const lines = records.slice(0, MAX_LINES).map((record) => {
    const { at, typeAt } = record;
    const type = uint16At(message, typeAt);
    return `${nameAt(message, at)} ${uint32At(message, typeAt + 4)} ${typeName(type)} ${dataText(message, record, type)}`;
  });
  return records.length > MAX_LINES ? [...lines, `... and ${records.length - MAX_LINES} more`] : lines;
}

/** The message has been indexed without a fault, so that every record lies inside it. */
function answerRecords(message: Uint8Array): AnswerRecord[] {
  const index = indexResponse(message);
  const records: AnswerRecord[] = [];
  if (index.kind === 'fault') return records;
  let at = index.questionEnd;
  for (let left = index.answerCount; left > 0; left--) {
    const typeAt = skipName(message, at, message.length);
    const rdataAt = typeAt + 10;
    const end = rdataAt + uint16At(message, typeAt + 8);
    records.push({ at, typeAt, rdataAt, end });
    at = end;
  }
  return records;
}

function dataText(message: Uint8Array, { rdataAt, end }: AnswerRecord, type: number): string {
  const data = message.subarray(rdataAt, end);
  if (type === TYPE.A && isIPv4(data.join('.'))) return data.join('.');
  if (type === TYPE.AAAA && data.length === 16) return ipv6Text(data);
  if (type === TYPE.CNAME && skipName(message, rdataAt, end) === end) return nameAt(message, rdataAt);
  if (type === TYPE.TXT) {
    const strings = characterStrings(data);
    if (strings !== undefined) return strings.map(quoted).join(' ');
  }
  return data.length === 0 ? '\\# 0' : `\\# ${data.length} ${Buffer.from(data).toString('hex')}`;
}

function ipv6Text(data: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, at) => uint16At(data, at * 2).toString(16));
  // the URL parser writes addresses as RFC 5952 wants them
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

/** RFC 1035 section 3.3: a length octet before each. */
function characterStrings(data: Uint8Array): Uint8Array[] | undefined {
  const strings: Uint8Array[] = [];
  for (let at = 0; at < data.length; ) {
    const end = at + 1 + (data[at] ?? 0);
    if (end > data.length) return undefined;
    strings.push(data.subarray(at + 1, end));
    at = end;
  }
  return strings.length === 0 ? undefined : strings;
}

/** RFC 1035 section 5.1: quotes, backslashes and what cannot be printed are escaped. */
function quoted(string: Uint8Array): string {
  const text = [...string].map((octet) => {
    if (octet < 0x20 || octet > 0x7e) return `\\${String(octet).padStart(3, '0')}`;
    const character = String.fromCharCode(octet);
    return character === '"' || character === '\\' ? `\\${character}` : character;
  });
  return `"${text.join('')}"`;
}

const MAX_JUMPS = 32; // each pointer points further back, so this only bounds hostile chains

/** The text of a name that may be compressed. */
function nameAt(message: Uint8Array, start: number): string {
  const octets: number[] = [];
  let at = start;
  for (let jumps = 0; jumps <= MAX_JUMPS; ) {
    const length = message[at] ?? 0;
    if (length >= 0xc0) {
      const target = ((length & 0x3f) << 8) | (message[at + 1] ?? 0);
      if (target >= at) break;
      at = target;
      jumps++;
      continue;
    }
    octets.push(...message.subarray(at, at + 1 + (length > 63 ? 0 : length)));
    if (length > 63 || octets.length > MAX_NAME_OCTETS) break;
    if (length === 0) return nameFromWire(Uint8Array.from(octets));
    at += length + 1;
  }
  return '?';
}
