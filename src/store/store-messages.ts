/** What the room says: its one error, a failure as an outcome, and its log lines. */
import { messages } from '../log/log.ts';

const FAILURE = { code: "the system's code, such as ENOSPC", detail: 'the failed step and its path' };
const VERDICTS = {
  kept: 'answers taken back',
  expired: 'too old',
  superseded: 'newer ones were there',
  full: 'no room',
  refused: 'not usable',
};

/** An action on a file of the state directory that failed. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  /** The system's own code (`ENOSPC`, `EROFS`, `EACCES`, `EIO`, ...), or one of ours in the same form. */
  readonly code: string;
  /** The action that failed, a verb phrase: `fsync`, `create directory`. */
  readonly action: string;
  readonly path: string;

  constructor(action: string, path: string, code: string, detail?: string) {
    super(`${action} "${path}": ${detail ?? code}`);
    this.code = code;
    this.action = action;
    this.path = path;
  }
}

/** A failed action as an outcome. */
export interface Failure {
  readonly kind: 'failed';
  /** As in StoreError; `INTERNAL` for a defect. */
  readonly code: string;
  readonly detail: string;
}

export function failureOf(error: unknown): Failure {
  const code = error instanceof StoreError ? error.code : 'INTERNAL';
  return { kind: 'failed', code, detail: error instanceof Error ? error.message : String(error) };
}

export const STORE_MESSAGES = messages({
  diskHangs: {
    level: 'error',
    text: 'the disk of the state directory does not answer: serving from memory, nothing is kept',
    fields: { directory: 'the state directory' },
    fix: 'look for a dead network disk or device under `state.directory`: until it answers, a restart knows only what AWS and the configuration say',
  },
  diskAnswers: {
    level: 'info',
    text: 'the disk of the state directory answers again',
    fields: { directory: 'the state directory' },
  },
  directoryReplaced: {
    level: 'warn',
    text: 'state directory was moved, removed or replaced: state is saved into the directory that now has its name',
    fields: { directory: 'the state directory' },
    fix: 'if it was moved by mistake, stop the server, move it back, and start the server: ledger and snapshot of the old directory stay in it',
  },
  endpointsFail: {
    level: 'error',
    text: 'save endpoint records: failed, publishing all the same',
    fields: FAILURE,
    fix: 'free the disk or correct the permissions now: a restart would serve older addresses',
  },
  endpointsSaved: { level: 'info', text: 'endpoint records can be saved again' },
  retainedFail: {
    level: 'error',
    text: 'save retained answers: failed, answering all the same',
    fields: FAILURE,
    fix: 'free the disk or correct the permissions: a restart would give older answers',
  },
  retainedSaved: { level: 'info', text: 'retained answers can be saved again' },
  retainedLeftOut: {
    level: 'warn',
    text: 'retained answers are too many octets for their file: some would not survive a restart',
    fields: { leftOut: 'answers without room' },
    fix: 'retain fewer names',
  },
  roomMade: {
    level: 'warn',
    text: 'disk is full: a file that may be lost gave its room to the state',
    fields: { file: 'the removed file' },
    fix: 'free the disk: without `trend.bin` the plots begin again, without `answers.snapshot` a restart knows fewer answers',
  },
  ledgerFails: {
    level: 'error',
    text: 'ledger cannot be written: events wait',
    fields: FAILURE,
    fix: 'free the disk or correct the permissions: `outpost-dns history` lacks what happens now',
  },
  ledgerWritten: { level: 'info', text: 'ledger can be written again' },
  snapshotFails: {
    level: 'error',
    text: 'snapshot of answers cannot be written: a restart would lose what is newer than the last one',
    fields: FAILURE,
    fix: 'free the disk or correct the permissions',
  },
  snapshotWritten: { level: 'info', text: 'snapshot of answers can be written again' },
  snapshotUnusable: {
    level: 'error',
    text: 'snapshot of answers is not usable to its end',
    fields: {
      ...VERDICTS,
      path: 'the file',
      kind: 'the fault',
      detail: 'the fault in words',
      setAsideTo: 'its new path',
    },
    fix: 'nothing: the answers before the fault are kept. Check the disk if it happens again',
  },
  snapshotLoaded: {
    level: 'info',
    text: 'snapshot of answers loaded',
    fields: { ...VERDICTS, durationMs: 'how long it took' },
  },
});
