/** Reports the state of the store: the files on disk, and the answers and events that a restart would lose. */
import {
  agoText,
  byLabel,
  metricsOf,
  optionalSeconds,
  type RoomReport,
  single,
  toned,
} from '../report/report.ts';
import type { SnapshotState } from './answers-snapshot.ts';
import type { LedgerState } from './ledger.ts';
import type { Claim } from './state-backend.ts';
import type { StoreState } from './state-store.ts';

export interface StoreStatus {
  readonly state: {
    readonly directory: string;
    readonly generation: number;
    readonly isPending: boolean;
    readonly savedAgeSeconds?: number;
    readonly saveFailures: number;
    readonly failure?: string;
    readonly faults: readonly string[];
    /** Whether this process holds the lock of the directory; without it nothing is written. */
    readonly isOurs: boolean;
    readonly retained: {
      readonly saveFailures: number;
      readonly failure?: string;
      /** Answers that the file has no room for. */
      readonly leftOut?: number;
    };
    /** The answer cache as it is on disk. */
    readonly snapshot: {
      readonly answers?: number;
      readonly octets?: number;
      readonly ageSeconds?: number;
      readonly loadedAnswers?: number;
      readonly writeFailures: number;
      readonly failure?: string;
    };
    readonly ledger: {
      readonly written: number;
      readonly lost: number;
      readonly failures: number;
      readonly failure?: string;
    };
  };
}

export interface StoreReportParts {
  readonly directory: string;
  readonly faults: readonly string[];
  readonly claim: Claim | undefined;
  /** For how long the disk has not answered. */
  readonly hangsForMs: number | undefined;
  readonly endpoints: StoreState;
  readonly retained: StoreState;
  readonly answers: SnapshotState;
  readonly ledger: LedgerState;
}

export function storeStatus(parts: StoreReportParts, nowMs: number): StoreStatus {
  const { endpoints, retained, answers, ledger } = parts;
  const age = (atMs: number | undefined) => optionalSeconds(atMs === undefined ? undefined : nowMs - atMs);
  return {
    state: {
      directory: parts.directory,
      generation: endpoints.generation,
      isPending: endpoints.pending,
      savedAgeSeconds: age(endpoints.lastSavedMs),
      saveFailures: endpoints.failures,
      failure: endpoints.lastFailure?.detail,
      faults: [...parts.faults, ...hangFaults(parts), ...claimFaults(parts.claim)],
      isOurs: parts.claim?.kind === 'ours',
      retained: {
        saveFailures: retained.failures,
        failure: retained.lastFailure?.detail,
        leftOut: retained.leftOut,
      },
      snapshot: {
        answers: answers.lastWrite?.answers,
        octets: answers.lastWrite?.octets,
        ageSeconds: age(answers.writtenAtMs),
        loadedAnswers: answers.loaded?.verdicts.kept,
        writeFailures: answers.writeFailures,
        failure: answers.lastFailure?.detail,
      },
      ledger: {
        written: ledger.written,
        lost: ledger.lost,
        failures: ledger.failures,
        failure: ledger.lastFailure?.detail,
      },
    },
  };
}

function hangFaults({ directory, hangsForMs }: StoreReportParts): readonly string[] {
  if (hangsForMs === undefined) return [];
  const since = `${Math.round(hangsForMs / 1000)} s`;
  return [`the disk of "${directory}" has not answered for ${since}: nothing is kept, serving from memory`];
}

function claimFaults(claim: Claim | undefined): readonly string[] {
  if (claim?.kind === 'taken')
    return [`nothing is written, because another process keeps its state here: ${claim.detail}`];
  return claim?.doubt === undefined ? [] : [`the state directory cannot be locked: ${claim.doubt}`];
}

const { gauge, counter } = metricsOf<StoreStatus>();

export const STORE_REPORT: RoomReport<StoreStatus> = {
  metrics: [
    gauge(
      'state_locked',
      '1 while this process holds the lock of the state directory; 0: another process does, and nothing is written.',
      [],
      ({ state }) => single(state.isOurs),
    ),
    gauge('state_generation', 'Generation of the state file.', [], ({ state }) => single(state.generation)),
    gauge(
      'state_saved_age_seconds',
      'Seconds since the state was last written by this process.',
      [],
      ({ state }) => single(state.savedAgeSeconds),
    ),
    gauge('state_pending', '1 while something is not on disk yet.', [], ({ state }) =>
      single(state.isPending),
    ),
    gauge(
      'state_save_failing',
      '1 while the last save of the endpoints has failed: a restart would serve older addresses.',
      [],
      ({ state }) => single(state.failure !== undefined),
    ),
    counter('state_save_failures', 'Saves of the endpoints that failed.', [], ({ state }) =>
      single(state.saveFailures),
    ),
    counter('retained_save_failures', 'Saves of the retained answers that failed.', [], ({ state }) =>
      single(state.retained.saveFailures),
    ),
    gauge(
      'cache_snapshot_age_seconds',
      'Seconds since the answer cache was last written to disk by this process.',
      [],
      ({ state }) => single(state.snapshot.ageSeconds),
    ),
    gauge('cache_snapshot_answers', 'Answers in the last snapshot of the cache.', [], ({ state }) =>
      single(state.snapshot.answers),
    ),
    counter('cache_snapshot_failures', 'Snapshots of the answer cache that failed.', [], ({ state }) =>
      single(state.snapshot.writeFailures),
    ),
    counter(
      'ledger_events',
      'Events of this process by what became of them.',
      ['result'],
      ({ state: { ledger } }) => byLabel({ written: ledger.written, lost: ledger.lost }),
    ),
    counter('ledger_write_failures', 'Attempts to write the ledger that failed.', [], ({ state }) =>
      single(state.ledger.failures),
    ),
  ],
  panels: ({ state }) => [
    {
      notes: [
        ...state.faults.map((fault) => toned('doubtful', fault)),
        ...troubles(state).map((trouble) => toned('bad', trouble)),
      ],
    },
    { title: 'Server', facts: [['state', stateText(state)]] },
  ],
};

/** Describes what a restart would lose. */
function troubles({ failure, retained, snapshot, ledger }: StoreStatus['state']): readonly string[] {
  const { leftOut = 0 } = retained;
  const left = `${leftOut} retained answers have no room in their file: a restart would lose them`;
  return [
    ...troubleOf('the endpoints cannot be saved, and a restart would serve older addresses', failure),
    ...troubleOf('retained answers cannot be saved', retained.failure),
    ...(leftOut > 0 ? [left] : []),
    ...troubleOf('the answer cache cannot be written to disk', snapshot.failure),
    ...troubleOf('the ledger cannot be written', ledger.failure),
  ];
}

function troubleOf(text: string, failure: string | undefined): readonly string[] {
  return failure === undefined ? [] : [`${text}: ${failure}`];
}

function stateText({ directory, generation, savedAgeSeconds, failure, isPending }: StoreStatus['state']) {
  const saved = savedAgeSeconds === undefined ? '' : `, saved ${agoText(savedAgeSeconds)}`;
  const place = `${directory}, generation ${generation}${saved}`;
  if (failure !== undefined) return toned('bad', `${place}; saving fails: ${failure}`);
  return isPending ? toned('doubtful', `${place}; not everything is on disk yet`) : place;
}
