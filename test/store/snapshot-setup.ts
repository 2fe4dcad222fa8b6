/** A process with an answer cache and its snapshot, in virtual time on a disk that may lose power. */

import { systemRandom } from '../../src/runtime/random.ts';
import { AnswerCache, type AnswerCacheSettings } from '../../src/serving/answer-cache/answer-cache.ts';
import { AnswersSnapshot, readSnapshot, type SnapshotCache } from '../../src/store/answers-snapshot.ts';
import type { FileSystem } from '../../src/store/file-system.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { asked, indexed, positive, settings } from '../serving/answer-cache/asked.ts';
import type { PowerCutDisk } from './power-cut-disk.ts';

export const PATH = '/state/answers.snapshot';

export async function readFile(disk: PowerCutDisk): Promise<{ entries: number; fault: string | undefined }> {
  let entries = 0;
  const fault = await readSnapshot(disk.files, PATH, async (some) => {
    entries += some.length;
    return true;
  });
  return { entries, fault: fault && `${fault.kind} ${fault.reason}` };
}

export interface Process {
  readonly time: VirtualTime;
  readonly cache: AnswerCache;
  readonly snapshot: AnswersSnapshot;
  readonly log: CollectingLog;
  put(name: string, ttlSeconds?: number, octets?: Uint8Array): void;
  has(name: string): boolean;
}

export interface ProcessOptions {
  readonly files: FileSystem;
  /** Wall time at which it starts. */
  readonly at?: string;
  readonly settings?: Partial<AnswerCacheSettings>;
  readonly cache?: (real: AnswerCache) => SnapshotCache;
  readonly pause?: () => Promise<void>;
  readonly scope?: string;
}

/** A process with an answer cache and its snapshot, on a disk that others may have used before. */
export function processOn(options: ProcessOptions): Process {
  const time = new VirtualTime(options.at);
  const cache = new AnswerCache({ ...settings, ...options.settings });
  const log = new CollectingLog();
  const snapshot = new AnswersSnapshot(
    { directory: '/state', sizeOctets: cache.settings.sizeOctets, scope: options.scope ?? 'scope' },
    {
      cache: options.cache?.(cache) ?? cache,
      clock: time,
      timers: time,
      random: systemRandom,
      log,
      pause: options.pause ?? (async () => {}),
      files: options.files,
    },
  );
  return {
    time,
    cache,
    snapshot,
    log,
    put(name, ttlSeconds = 300, octets = positive(name, ttlSeconds)) {
      cache.store(asked(name), octets, indexed(octets), time.monotonicMs());
    },
    has: (name) => cache.find(asked(name), time.monotonicMs()) !== undefined,
  };
}
