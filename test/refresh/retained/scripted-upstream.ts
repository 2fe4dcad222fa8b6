import type { Query } from '../../../src/protocol/wire/query.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import { typeFromText, typeName } from '../../../src/protocol/words/codes.ts';
import type { RetainedRecord } from '../../../src/records/retained-record.ts';
import type { AskOutcome, RetainedQuestion } from '../../../src/refresh/retained/retained-answer.ts';
import { type PublishedAnswer, RetainedRefresher } from '../../../src/refresh/retained/retained-refresher.ts';
import { RETAINED } from '../../../src/store/retained-format.ts';
import type { StateBackend } from '../../../src/store/state-backend.ts';
import type { StateFormat } from '../../../src/store/state-format.ts';
import { StateStore } from '../../../src/store/state-store.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { message, rawRecord, soaData } from '../../helpers/zone-text.ts';

export const question = (name: string, type = 'A'): RetainedQuestion => ({
  name,
  qtype: typeFromText(type)!,
});

export const addresses = (name: string, ttlSeconds: number, ...last: number[]) =>
  message({
    id: Math.floor(Math.random() * 65_536),
    question: [name, 'A'],
    answers: last.map((octet) => rawRecord(name, 'A', ttlSeconds, [10, 0, 0, octet])),
  });

export const denial = (name: string, type: string, ttlSeconds: number, flags = 0x8180) =>
  message({
    flags,
    question: [name, type],
    authorities: [rawRecord('.', 'SOA', ttlSeconds, soaData(ttlSeconds))],
  });

export type Script = (
  name: string,
  type: string,
  dnssecOk: boolean,
  nowMs: number,
) => Uint8Array | string | Promise<Uint8Array | string>;

export interface Asked {
  readonly atMs: number;
  /** `name type`, then `DO` if it is set. */
  readonly text: string;
}

export interface Bench {
  readonly time: VirtualTime;
  readonly log: CollectingLog;
  readonly asked: Asked[];
  readonly published: Map<string, PublishedAnswer>;
  readonly saves: (readonly RetainedRecord[])[];
  readonly refresher: RetainedRefresher;
  /** What an upstream says from now on; a text is a failure. */
  answer: Script;
  /** Takes a file from now on, or fails to. */
  disk: () => Promise<void>;
  /** Answers for which the file has no room. */
  leftOut: number;
  readonly store: StateStore<readonly RetainedRecord[]>;
  /** Stops both, as the daemon does. */
  stop(): Promise<void>;
}

export interface BenchOptions {
  readonly at?: string;
  readonly fraction?: () => number;
  readonly publish?: (question: RetainedQuestion, answer: PublishedAnswer) => number | undefined;
  readonly withdraw?: (question: RetainedQuestion) => void;
  readonly time?: VirtualTime;
  /** Default: one that has `disk` take each file, and forgets it. */
  readonly backend?: StateBackend;
}

/** A refresher with an upstream that follows a script. Answers are fresh for their smallest TTL, unless `publish` says otherwise. */
export function benchFor(questions: readonly RetainedQuestion[], options: BenchOptions = {}): Bench {
  const time = options.time ?? new VirtualTime(options.at);
  const log = new CollectingLog();
  const published = new Map<string, PublishedAnswer>();
  const textOf = ({ name, qtype }: RetainedQuestion) => `${name} ${typeName(qtype)}`;
  const store = new StateStore(recording(), options.backend ?? forgetful(() => bench.disk()), {
    clock: time,
    timers: time,
    log,
  });
  /** Notes what is written. */
  function recording(): StateFormat<readonly RetainedRecord[]> {
    return {
      ...RETAINED,
      *encode(file) {
        bench.saves.push(file.content);
        const encoded = yield* RETAINED.encode(file);
        return encoded.kind === 'encoded' && bench.leftOut > 0
          ? { ...encoded, leftOut: bench.leftOut }
          : encoded;
      },
    };
  }
  const bench: Bench = {
    time,
    store,
    log,
    asked: [],
    published,
    saves: [],
    answer: () => 'no script',
    disk: async () => undefined,
    leftOut: 0,
    async stop() {
      bench.refresher.stop();
      await store.stop();
    },
    refresher: new RetainedRefresher({
      questions,
      ask: async (query: Query): Promise<AskOutcome> => {
        const [name, type] = [query.nameText(), typeName(query.qtype)];
        bench.asked.push({ atMs: time.monotonicMs(), text: `${name} ${type}${query.dnssecOk ? ' DO' : ''}` });
        const octets = await bench.answer(name, type, query.dnssecOk, time.monotonicMs());
        if (typeof octets === 'string') return { kind: 'failed', detail: octets };
        const index = indexResponse(octets);
        if (index.kind === 'fault') throw new Error(`the test's own message is broken: ${index.reason}`);
        return { kind: 'response', octets, index };
      },
      clock: time,
      timers: time,
      random: { uint16: () => 0, uint32: () => 0, fraction: options.fraction ?? (() => 0.5) },
      log,
      save: (compose, change) => store.saveLater(compose, change),
      publish: (of, answer) => {
        published.set(textOf(of), answer);
        if (options.publish !== undefined) return options.publish(of, answer);
        const index = indexResponse(answer.message);
        return index.kind === 'fault' ? undefined : 1000 * (index.minimumTtlSeconds ?? 0);
      },
      withdraw: (of) => {
        published.delete(textOf(of));
        options.withdraw?.(of);
      },
    }),
  };
  return bench;
}

/** Keeps nothing. */
function forgetful(replace: () => Promise<void>): StateBackend {
  return {
    placeOf: (name) => name,
    read: async () => ({ kind: 'absent' }),
    claim: async () => ({ kind: 'ours', epoch: 0 }),
    replace,
    setAside: async ({ path }) => path,
    tidy: async () => undefined,
  };
}

/** The last octets of the addresses in a message, sorted. */
export function lastOctets(octets: Uint8Array | undefined): number[] {
  const index = indexResponse(octets ?? new Uint8Array(0));
  if (octets === undefined || index.kind === 'fault') return [];
  return [...index.ttlOffsets].map((at) => octets[at + 9]!).sort();
}

/** An upstream that never replies, and a disk that is always well. */
export const silentUpstream = {
  ask: async (): Promise<AskOutcome> => ({ kind: 'failed', detail: 'no reply' }),
  save: () => undefined,
};
