/** Stores over files in virtual time, and what their files hold. */
import { systemRandom } from '../../src/runtime/random.ts';
import { atOnce } from '../../src/runtime/slices.ts';
import { ENDPOINTS, type EndpointsFile } from '../../src/store/endpoints-format.ts';
import { type FileSystem, systemFiles } from '../../src/store/file-system.ts';
import {
  FileBackend,
  type FileBackendParts,
  FileReader,
  type LoadFault,
} from '../../src/store/state-backend.ts';
import { readState, type StateFormat } from '../../src/store/state-format.ts';
import { type LoadResult, type SaveOutcome, StateStore } from '../../src/store/state-store.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { setNumber, wholeSet } from './record-sets.ts';

export interface StoreParts extends Omit<FileBackendParts, 'random'> {
  readonly time?: VirtualTime;
  readonly log?: CollectingLog;
  readonly pause?: () => Promise<void>;
  readonly onSetAside?: (fault: LoadFault) => void;
}

/** A store of any format over the files of a directory. */
export function storeOf<Content>(
  format: StateFormat<Content>,
  directory: string,
  { time = new VirtualTime(), log = new CollectingLog(), files, lock, ...more }: StoreParts = {},
): StateStore<Content> {
  const backend = new FileBackend(directory, { random: systemRandom, files, lock });
  return new StateStore(format, backend, { clock: time, timers: time, log, ...more });
}

type Records = EndpointsFile['content'];

export interface Setup {
  readonly store: StateStore<Records>;
  readonly time: VirtualTime;
  readonly log: CollectingLog;
  readonly directory: string;
}

export function setUp(directory: string, files: FileSystem = systemFiles): Setup {
  const [time, log] = [new VirtualTime(), new CollectingLog()];
  return { store: storeOf(ENDPOINTS, directory, { time, log, files }), time, log, directory };
}

export function fileOf(number: number, generation = number): Buffer {
  const encoded = atOnce(ENDPOINTS.encode({ generation, writtenAtMs: 0, content: wholeSet(number) }));
  if (encoded.kind === 'refused') throw new Error(encoded.detail);
  return Buffer.from(encoded.octets);
}

export function readEndpoints(files: FileSystem, directory: string) {
  return readState(new FileReader(directory, files), ENDPOINTS);
}

export async function onDisk(directory: string): Promise<number | undefined> {
  const { served } = await readEndpoints(systemFiles, directory);
  return served && setNumber(served.content);
}

/** What a load came to, in a line. */
export function summary(result: LoadResult<Records>): string {
  const what =
    result.kind === 'none'
      ? 'none'
      : `${result.from} ${setNumber(result.content)} generation ${result.generation}`;
  return [what, ...result.faults.map(({ kind, reason }) => `${kind} ${reason}`)].join(', ');
}

export function kinds(outcomes: readonly SaveOutcome[]): string[] {
  return outcomes.map(({ kind }) => kind);
}
