/**
 * The answer section of a response, for people and for comparison. Anybody may have written the octets: nothing here
 * throws, and all work is bounded by the message.
 */
import { createHash } from 'node:crypto';
import { uint16At, uint32At } from '../protocol/wire/header.ts';
import { nameText, type RecordPlace, rdataText, recordPlaces } from '../protocol/wire/presentation.ts';
import { indexResponse } from '../protocol/wire/response.ts';
import { typeName } from '../protocol/words/types.ts';

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
  const data = answerRecords(message, index.questionEnd).map(({ typeAt, rdataAt, end }) => {
    const hex = (from: number, to: number) => Buffer.from(message.subarray(from, to)).toString('hex');
    return `${hex(typeAt, typeAt + 4)} ${hex(rdataAt, end)}`;
  });
  return [`${index.rcode}`, ...data.sort()].join('\n');
}

const MAX_LINES = 32;

/** The answer in the presentation format, a record a line. */
export function answerLines(message: Uint8Array): readonly string[] {
  const index = indexResponse(message);
  if (index.kind === 'fault') return [];
  const records = answerRecords(message, index.questionEnd);
  const lines = records.slice(0, MAX_LINES).map((record) => {
    const { ownerAt, typeAt } = record;
    const type = typeName(uint16At(message, typeAt));
    return `${nameText(message, ownerAt)} ${uint32At(message, typeAt + 4)} ${type} ${rdataText(message, record)}`;
  });
  return records.length > MAX_LINES ? [...lines, `... and ${records.length - MAX_LINES} more`] : lines;
}

function answerRecords(message: Uint8Array, questionEnd: number): RecordPlace[] {
  return recordPlaces(message, questionEnd).filter(({ section }) => section === 'answer');
}
