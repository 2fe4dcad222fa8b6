import { typeFromText } from '../../src/protocol/words/codes.ts';
import type { RetainedRecord } from '../../src/records/retained-record.ts';
import { message, rawRecord } from '../helpers/zone-text.ts';

const START_MS = Date.UTC(2026, 0, 1);

/** A record with one address. */
export function retained(name: string, last = 1, changed: Partial<RetainedRecord> = {}): RetainedRecord {
  return {
    name,
    qtype: typeFromText('A')!,
    message: new Uint8Array(
      message({ question: [name, 'A'], answers: [rawRecord(name, 'A', 300, [10, 0, 0, last])] }),
    ),
    confirmedAtMs: START_MS,
    changedAtMs: START_MS,
    ...changed,
  };
}

/** One text for one list of records. */
export function textOf(records: readonly RetainedRecord[]): string {
  return JSON.stringify(
    records.map(({ name, qtype, message, signedMessage, confirmedAtMs, changedAtMs }) => [
      name,
      qtype,
      Buffer.from(message).toString('hex'),
      signedMessage && Buffer.from(signedMessage).toString('hex'),
      confirmedAtMs,
      changedAtMs,
    ]),
  );
}
