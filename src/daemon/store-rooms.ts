/** Builds the stores, one for each kind of state, and the answer cache, which a store saves. Nothing here opens a file. */
import { AnswerCache } from '../serving/answer-cache/answer-cache.ts';
import { AnswersSnapshot, SNAPSHOT_FILE } from '../store/answers-snapshot.ts';
import { ENDPOINTS } from '../store/endpoints-format.ts';
import { StateDisk, systemFiles } from '../store/file-system.ts';
import { Ledger } from '../store/ledger.ts';
import { RETAINED } from '../store/retained-format.ts';
import { FileBackend, type LoadFault } from '../store/state-backend.ts';
import { DirectoryLock, guardedFiles } from '../store/state-directory.ts';
import { StateStore } from '../store/state-store.ts';
import { STORE_MESSAGES } from '../store/store-messages.ts';
import { TREND_FILE } from '../trend/trend.ts';
import { setAsideEvent } from './ledger-events.ts';
import type { DaemonParts } from './parts.ts';
import type { ConfigInForce } from './routes.ts';

export type StoreRooms = ReturnType<typeof buildStoreRooms>;

/** `isCut`: whether names that are kept could not be asked for now. */
export function buildStoreRooms(
  { config, keptConfig, clock, timers, random, log, pause, files: allFiles = systemFiles }: DaemonParts,
  inForce: ConfigInForce,
  isCut: () => boolean,
) {
  const { directory } = config.state;
  const cache = new AnswerCache(config.cache, { isCut });
  const disk = new StateDisk(allFiles, { directory, clock, timers, log });
  const lock = new DirectoryLock(directory, disk);
  const files = guardedFiles(disk.files, lock);
  const ledger = new Ledger({ directory }, { clock, timers, log, files });
  const onSetAside = (fault: LoadFault) => ledger.record(setAsideEvent(fault));
  const spare = {
    names: [...(keptConfig === undefined ? [] : [keptConfig.name]), TREND_FILE, SNAPSHOT_FILE],
    onRemoved: (file: string) => STORE_MESSAGES.roomMade(log, { file }),
  };
  const backend = new FileBackend(directory, { random, files, lock, spare });
  const store = new StateStore(ENDPOINTS, backend, { clock, timers, log, pause, onSetAside });
  const retainedStore = new StateStore(RETAINED, backend, { clock, timers, log, pause, onSetAside });
  const answers = new AnswersSnapshot(
    { directory, sizeOctets: cache.settings.sizeOctets, scope: inForce.routes.scope },
    { cache, clock, timers, random, log, pause, onSetAside, files },
  );
  return { cache, disk, lock, files, ledger, store, retainedStore, answers };
}
