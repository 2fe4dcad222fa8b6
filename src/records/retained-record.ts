/**
 * A retained answer: a question that the operator wants answered under all conditions, with its last response. Any server may
 * have written that response: nothing here throws, and the size of the message bounds all work.
 */
import { uint16At, uint32At } from '../protocol/wire/message.ts';
import { nameText, type RecordPlace, rdataText, recordPlaces } from '../protocol/wire/presentation.ts';
import { indexResponse } from '../protocol/wire/response.ts';
import { typeName } from '../protocol/words/codes.ts';
import { sha256Base64 } from '../runtime/checksum.ts';

export interface RetainedRecord {
  /** A domain name in normal form; the class is IN. */
  readonly name: string;
  readonly qtype: number;
  /** The whole response of an upstream: given to queries without DO, and to all queries where there is no `signedMessage`. */
  readonly message: Uint8Array;
  /** Given to queries with DO, where the response with signatures differs. */
  readonly signedMessage?: Uint8Array;
  /** When an upstream last gave this answer, wall ms. */
  readonly confirmedAtMs: number;
  /** The time at which an upstream last gave a different answer, wall ms. */
  readonly changedAtMs: number;
}

/** By message: none is ever changed, and each is compared at every poll and every save. */
const contents = new WeakMap<Uint8Array, string>();

/** Writes the answer's content without record order, TTLs and message ID. Two answers with the same content have equal texts. */
export function contentOf(message: Uint8Array): string {
  const known = contents.get(message);
  if (known !== undefined) return known;
  const content = composeContent(message);
  const text = content.length <= 256 ? content : sha256Base64(content);
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
