import { systemRandom } from '../../src/runtime/random.ts';
import { encodeEndpoints } from '../../src/store/endpoints-format.ts';
import { readEndpoints } from '../../src/store/endpoints-reader.ts';
import { EndpointsStore, type LoadResult } from '../../src/store/endpoints-store.ts';
import { type FileSystem, systemFiles } from '../../src/store/file-system.ts';
import type { SaveOutcome } from '../../src/store/generation-store.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { setNumber, wholeSet } from './record-sets.ts';

export interface Setup {
  readonly store: EndpointsStore;
  readonly time: VirtualTime;
  readonly directory: string;
}

export function setUp(directory: string, files: FileSystem = systemFiles): Setup {
  const time = new VirtualTime();
  return {
    store: new EndpointsStore({ directory }, { clock: time, random: systemRandom, files }),
    time,
    directory,
  };
}

export function fileOf(number: number, generation = number): Buffer {
  const encoded = encodeEndpoints({ generation, writtenAtMs: 0, records: wholeSet(number) });
  if (encoded.kind === 'refused') throw new Error(encoded.detail);
  return Buffer.from(encoded.octets);
}

export async function onDisk(directory: string): Promise<number | undefined> {
  const { served } = await readEndpoints(systemFiles, directory);
  return served && setNumber(served.records);
}

/** What a load came to, in a line. */
export function summary(result: LoadResult): string {
  const what =
    result.kind === 'none'
      ? 'none'
      : `${result.from} ${setNumber(result.records)} generation ${result.generation}`;
  return [what, ...result.faults.map(({ kind, reason }) => `${kind} ${reason}`)].join(', ');
}

export function kinds(outcomes: readonly SaveOutcome[]): string[] {
  return outcomes.map(({ kind }) => kind);
}
