import type { RetainedRecord } from '../records/retained-record.ts';
import {
  type GenerationLoad,
  GenerationStore,
  type GenerationStoreParts,
  type SaveOutcome,
  type StoreState,
} from './generation-store.ts';
import { RETAINED } from './retained-format.ts';

/** Keeps the answers to retained questions through a power cut, as the endpoints are kept and in a file beside them. */

export interface RetainedStoreOptions {
  readonly directory: string;
  /** Answers that were merely confirmed are written at most this often. Default 10 min. */
  readonly confirmEveryMs?: number;
}

export class RetainedStore {
  readonly #store: GenerationStore<readonly RetainedRecord[]>;

  constructor({ directory, confirmEveryMs = 600_000 }: RetainedStoreOptions, parts: GenerationStoreParts) {
    this.#store = new GenerationStore(RETAINED, { directory, confirmEveryMs }, parts);
  }

  /** Its content is the records; see GenerationStore.load. */
  load(): Promise<GenerationLoad<readonly RetainedRecord[]>> {
    return this.#store.load();
  }

  /** The file then holds exactly these records; see GenerationStore.save. */
  save(records: readonly RetainedRecord[]): Promise<SaveOutcome> {
    return this.#store.save(records);
  }

  /** See GenerationStore.flush. */
  flush(): Promise<SaveOutcome> {
    return this.#store.flush();
  }

  /** For metrics and readiness. */
  state(): StoreState {
    return this.#store.state();
  }
}
