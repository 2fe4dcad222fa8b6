import { join } from 'node:path';
import { atOnce, type Slices, type Steps } from '../runtime/slices.ts';
import { readWhole } from './atomic-file.ts';
import type { DecodeFault, Encoded } from './checked-json.ts';
import type { FileSystem } from './file-system.ts';
import type { Fault } from './set-aside.ts';

/** Reads a state file that is kept in two generations, without touching it: the newest whole one, and what was wrong with the other. */

export type Generation = 'current' | 'previous';

/** What a file holds, the number of the write that made it, and its time. */
export interface Written<Content> {
  /** Counts the writes of the file. */
  readonly generation: number;
  /** Wall ms. */
  readonly writtenAtMs: number;
  readonly content: Content;
}

/** How a kind of state goes into a file and comes out of it. */
export interface StateFormat<Content> {
  /** The files are `<name>.json` and `<name>.previous.json`. */
  readonly name: string;
  readonly maxOctets: number;
  /** Refuses what `decode` would not take back. */
  encode(file: Written<Content>): Steps<Encoded>;
  /** Never throws. */
  decode(octets: Uint8Array): Steps<{ readonly kind: 'ok'; readonly file: Written<Content> } | DecodeFault>;
  /** `ageing`: only what grows old by itself is different. */
  compare(before: Content, after: Content): Steps<'none' | 'ageing' | 'content'>;
  /** `ours`, and of `theirs` what `ours` has no answer for. */
  merge(ours: Content, theirs: Content): Content;
  /** A key for each thing that queries can be answered with from `content`. */
  answered(content: Content): Iterable<string>;
}

export interface GenerationReading<Content> {
  /** The newest generation that is whole; absent when there is none. */
  readonly served?: Written<Content> & { readonly from: Generation };
  readonly faults: readonly Fault[];
}

export function generationPath(directory: string, name: string, generation: Generation): string {
  return join(directory, generation === 'current' ? `${name}.json` : `${name}.previous.json`);
}

/** The current generation, or the previous one where the current is missing or unusable. Faults are values; never rejects. Without `slices` in one piece. */
export async function readGenerations<Content>(
  files: FileSystem,
  directory: string,
  format: StateFormat<Content>,
  slices?: Slices,
): Promise<GenerationReading<Content>> {
  const faults: Fault[] = [];
  for (const from of ['current', 'previous'] as const) {
    const read = await readGeneration(files, generationPath(directory, format.name, from), format, slices);
    if (read === undefined) continue;
    if ('content' in read) return { served: { ...read, from }, faults };
    faults.push(read);
  }
  return { faults };
}

async function readGeneration<Content>(
  files: FileSystem,
  path: string,
  format: StateFormat<Content>,
  slices: Slices | undefined,
): Promise<Written<Content> | Fault | undefined> {
  const outcome = await readWhole(files, path, format.maxOctets);
  switch (outcome.kind) {
    case 'absent':
      return undefined;
    case 'failed':
      return {
        path,
        kind: 'unreadable',
        reason: outcome.error.code.toLowerCase(),
        detail: outcome.error.message,
      };
    case 'too-large':
      return { path, kind: 'corrupt', reason: 'too-large', detail: `more than ${format.maxOctets} octets` };
    case 'not-a-file':
      return {
        path,
        kind: 'foreign',
        reason: 'not-a-file',
        detail: 'a directory or device stands in its place',
      };
    case 'read':
      return judged(
        path,
        slices === undefined
          ? atOnce(format.decode(outcome.octets))
          : await slices.run(format.decode(outcome.octets)),
      );
  }
}

function judged<Content>(
  path: string,
  decoded: { readonly kind: 'ok'; readonly file: Written<Content> } | DecodeFault,
): Written<Content> | Fault {
  if (decoded.kind === 'ok') return decoded.file;
  if (decoded.kind === 'newer') {
    const reason = `version-${decoded.version}`;
    return { path, kind: 'newer', reason, detail: `written by a later version: format ${decoded.version}` };
  }
  return { path, ...decoded };
}
