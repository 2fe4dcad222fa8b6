import type { EndpointRecord } from '../records/endpoint-record.ts';
import { ENDPOINTS } from './endpoints-reader.ts';
import type { Generation } from './generation-reader.ts';
import {
  GenerationStore,
  type GenerationStoreParts,
  type SaveOutcome,
  type StoreState,
} from './generation-store.ts';
import type { LoadFault } from './set-aside.ts';

/**
 * The store keeps what must survive a power cut: the endpoint records here, what was retained and cached in files of
 * their own beside them. It knows files, checksums and generations. It refuses to know where records come from,
 * whether they are right, and what is served: it writes what it is handed and hands back what it finds. No RFC speaks
 * of it. What holds for this file holds for all that are kept in two generations: see generation-store.ts.
 */

export interface EndpointsStoreOptions {
  readonly directory: string;
  /** Records in which only times have moved on are written at most this often. Default 60,000. */
  readonly confirmEveryMs?: number;
}

export type EndpointsStoreParts = GenerationStoreParts;

export type LoadResult =
  | {
      readonly kind: 'loaded';
      readonly from: Generation;
      readonly generation: number;
      readonly writtenAtMs: number;
      readonly records: readonly EndpointRecord[];
      readonly faults: readonly LoadFault[];
    }
  /** No state to serve from: a first start, when there are no faults either. */
  | { readonly kind: 'none'; readonly faults: readonly LoadFault[] };

export class EndpointsStore {
  readonly #store: GenerationStore<readonly EndpointRecord[]>;
  #loading: Promise<LoadResult> | undefined;

  constructor({ directory, confirmEveryMs = 60_000 }: EndpointsStoreOptions, parts: EndpointsStoreParts) {
    this.#store = new GenerationStore(ENDPOINTS, { directory, confirmEveryMs }, parts);
  }

  /** See GenerationStore.load. */
  load(): Promise<LoadResult> {
    this.#loading ??= this.#load();
    return this.#loading;
  }

  /** Makes durable all that shall be kept, records of clusters that are no longer configured included; see GenerationStore.save. */
  save(records: readonly EndpointRecord[]): Promise<SaveOutcome> {
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

  async #load(): Promise<LoadResult> {
    const loaded = await this.#store.load();
    if (loaded.kind === 'none') return loaded;
    const { content, ...rest } = loaded;
    return { ...rest, records: content };
  }
}
