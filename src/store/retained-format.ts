/**
 * Defines the octets of `retained.json`, and when they are written. It is a checked JSON file (checked-json.ts) with the
 * answers to the questions that the operator retains.
 *
 *     "answers": [ { "name": ..., "type": "A", "confirmedAt": ..., "changedAt": ..., "records": [ for a person ],
 *                    "message": base64, "signedMessage": base64 } ]
 *
 * `message` counts, the response as an upstream sent it; `records` shows its answer section to a reader of the file.
 */
import * as v from 'valibot';
import { HEADER_OCTETS } from '../protocol/wire/message.ts';
import { indexResponse } from '../protocol/wire/response.ts';
import { CLASS, typeFromText, typeName } from '../protocol/words/codes.ts';
import { nameFromWire } from '../protocol/words/name.ts';
import { answerLines, contentOf, type RetainedRecord } from '../records/retained-record.ts';
import { object, text } from '../runtime/forms.ts';
import type { Steps } from '../runtime/slices.ts';
import {
  type CheckedList,
  decodeList,
  type Envelope,
  encodeList,
  isTime,
  moment,
  name,
  time,
} from './checked-json.ts';
import type { StateFormat } from './state-format.ts';
import { STORE_MESSAGES } from './store-messages.ts';

/**
 * Four KiB for each of 2,000 questions (1,000 names, A and AAAA). A response has 1,232 octets, the usual limit over UDP, in
 * base64 and with its records for a person. A few answers may be larger. The server leaves out and reports answers without
 * room, first those that are no longer retained. A larger file comes from a different program, and to read that file would
 * delay the start.
 */
const MAX_FILE_OCTETS = 8 * 1024 * 1024;

const ENVELOPE: Envelope = {
  format: 'outpost-dns retained',
  version: 1,
  about: [
    'the answers that outpost-dns retains, and gives while their upstreams cannot be reached',
    'replaced whole by the server; the generation before this one is retained.previous.json',
    "checksum by hand: jq -jcS 'del(.checksum)' retained.json | sha256sum",
  ],
  maxOctets: MAX_FILE_OCTETS,
  lineDepth: 5, // file, answers, answer, records: a record a line
};

type Records = readonly RetainedRecord[];

/** `retained.json`. */
export const RETAINED: StateFormat<Records> = {
  name: 'retained',
  maxOctets: MAX_FILE_OCTETS,
  policy: {
    confirmEveryMs: 600_000,
    // `changed`: with the time of the write itself, a restart loses less than a minute
    waitMs: { new: 0, changed: 50_000, confirmed: 600_000 },
    messages: {
      failing: STORE_MESSAGES.retainedFail,
      recovered: STORE_MESSAGES.retainedSaved,
      leftOut: STORE_MESSAGES.retainedLeftOut,
    },
  },
  encode: (file) => encodeList(LIST, file),
  decode: (octets) => decodeList(LIST, octets),
  compare: compareRetained,
  merge(ours, theirs) {
    const known = new Set(ours.map(({ name, qtype }) => `${name} ${qtype}`));
    return [...ours, ...theirs.filter(({ name, qtype }) => !known.has(`${name} ${qtype}`))];
  },
  *answered(records) {
    for (const { name, qtype } of records) yield `${name} ${qtype}`;
  },
};

/** Checks each record instead of reading the file back, which would take as long again. */
function mayBeWritten(record: RetainedRecord): boolean {
  const { name, qtype, message, signedMessage = message, confirmedAtMs, changedAtMs } = record;
  const isSmall = Math.max(message.length, signedMessage.length) <= MAX_MESSAGE_OCTETS;
  // the name in the question of an indexed message is in normal form
  const isOfType = typeFromText(typeName(qtype)) === qtype && name !== '.';
  return isSmall && isOfType && isTime(confirmedAtMs) && isTime(changedAtMs) && isAboutItsQuestion(record);
}

function composeRecord(record: RetainedRecord): object {
  const { message, signedMessage } = record;
  return {
    name: record.name,
    type: typeName(record.qtype),
    confirmedAt: moment(record.confirmedAtMs),
    changedAt: moment(record.changedAtMs),
    records: answerLines(message),
    message: Buffer.from(message).toString('base64'),
    signedMessage: signedMessage && Buffer.from(signedMessage).toString('base64'),
  };
}

/** The order of answers is no content; neither are TTLs or the order of the records in an answer. */
function* compareRetained(before: Records, after: Records): Steps<'none' | 'ageing' | 'content'> {
  if (before.length === after.length && before.every((record, at) => isSame(record, after[at])))
    return 'none';
  const left = new Map<string, number>();
  for (const record of before) {
    const key = contentKey(record);
    left.set(key, (left.get(key) ?? 0) + 1);
    yield;
  }
  for (const record of after) {
    const key = contentKey(record);
    const count = left.get(key) ?? 0;
    if (count === 0) return 'content';
    left.set(key, count - 1);
    yield;
  }
  return before.length === after.length ? 'ageing' : 'content';
}

function contentKey({ name, qtype, message, signedMessage }: RetainedRecord): string {
  return [name, qtype, contentOf(message), signedMessage && contentOf(signedMessage)].join(' ');
}

function isSame(record: RetainedRecord, other: RetainedRecord | undefined): boolean {
  return (
    record.name === other?.name &&
    record.qtype === other.qtype &&
    record.message === other.message &&
    record.signedMessage === other.signedMessage &&
    record.confirmedAtMs === other.confirmedAtMs
  );
}

const MAX_MESSAGE_OCTETS = 65_535;
const MAX_BASE64 = Math.ceil(MAX_MESSAGE_OCTETS / 3) * 4;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const NO_MESSAGE = 'not a message in base64';
const message = v.pipe(
  text,
  v.maxLength(MAX_BASE64, NO_MESSAGE),
  v.regex(BASE64, NO_MESSAGE),
  v.transform((found) => new Uint8Array(Buffer.from(found, 'base64'))),
);

const RECORD = v.pipe(
  object({
    name,
    type: v.pipe(text, v.transform(typeFromText), v.number('not a type')),
    confirmedAt: time,
    changedAt: time,
    message,
    signedMessage: v.exactOptional(message),
  }),
  v.transform(({ type, confirmedAt, changedAt, ...rest }) => ({
    ...rest,
    qtype: type,
    confirmedAtMs: confirmedAt,
    changedAtMs: changedAt,
  })),
  v.check((record) => isAboutItsQuestion(record), 'the message does not answer the question'),
);

function isAboutItsQuestion({ name, qtype, message, signedMessage }: RetainedRecord): boolean {
  return [message, signedMessage ?? message].every((octets) => {
    const index = indexResponse(octets);
    return (
      index.kind === 'response' &&
      index.qtype === qtype &&
      index.qclass === CLASS.IN &&
      nameFromWire(octets, HEADER_OCTETS) === name
    );
  });
}

const LIST: CheckedList<RetainedRecord> = {
  envelope: ENVELOPE,
  key: 'answers',
  compose: composeRecord,
  reader: RECORD,
  refuse: (record) => (mayBeWritten(record) ? undefined : `the record of "${record.name}" is malformed`),
};
