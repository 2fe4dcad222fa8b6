import fc from 'fast-check';
import { readSnapshot } from '../../src/store/answers-snapshot.ts';
import { type FileSystem, type OpenFile, systemFiles } from '../../src/store/file-system.ts';
import type { Fault } from '../../src/store/set-aside.ts';
import {
  type SnapshotAnswer,
  SnapshotComposer,
  type SnapshotEntry,
} from '../../src/store/snapshot-format.ts';

const age = fc.oneof(fc.nat(100_000), fc.integer({ min: 0, max: 2 ** 48 - 1 }));

function answers(maxOctets: number): fc.Arbitrary<SnapshotAnswer> {
  return fc.record({
    kind: fc.constantFrom('positive', 'nodata', 'nxdomain'),
    octets: fc.uint8Array({ maxLength: maxOctets, size: 'max' }),
    ageMs: age,
    lifetimeMs: age,
  });
}

/** Any entry that the format can hold, whether or not its message is one. */
export function entries(maxOctets = 300): fc.Arbitrary<SnapshotEntry> {
  const common = fc.record({
    dnssecOk: fc.boolean(),
    checkingDisabled: fc.boolean(),
    hits: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    idleMs: age,
  });
  return fc
    .tuple(answers(maxOctets), common, fc.option(answers(maxOctets), { nil: undefined }))
    .map(([answer, rest, earlier]) => ({
      ...answer,
      ...rest,
      ...(earlier === undefined ? {} : { earlier }),
    }));
}

/** A whole file, as the writer composes it. */
export function fileOf(wanted: readonly SnapshotEntry[], writtenAtMs = 1_767_225_600_000): Buffer {
  const composer = new SnapshotComposer();
  const parts = [Buffer.from(composer.header(writtenAtMs, wanted.length, 'scope'))];
  for (const entry of wanted) {
    if (composer.add(entry)) parts.push(Buffer.from(composer.block()!));
  }
  const last = composer.block();
  if (last !== undefined) parts.push(Buffer.from(last));
  parts.push(Buffer.from(composer.end()));
  return Buffer.concat(parts);
}

/** A disk with this one file, which gives at most `atOnce` octets to a read. */
export function fileWith(octets: Uint8Array, atOnce = Number.POSITIVE_INFINITY): FileSystem {
  const open = async (): Promise<OpenFile> => {
    let at = 0;
    return {
      stat: async () => ({ size: octets.length, isFile: () => true }),
      read: async (into, offset, length) => {
        const part = octets.subarray(at, at + Math.min(length, atOnce));
        into.set(part, offset);
        at += part.length;
        return { bytesRead: part.length };
      },
      write: async () => {
        throw new Error('this disk is only read');
      },
      sync: async () => {},
      close: async () => {},
    };
  };
  return { ...systemFiles, open };
}

export interface Reading {
  readonly entries: readonly SnapshotEntry[];
  readonly writtenAtMs: number | undefined;
  readonly fault: Fault | undefined;
}

/** All that comes out of a file, copied. */
export async function read(octets: Uint8Array, atOnce?: number): Promise<Reading> {
  const found: SnapshotEntry[] = [];
  let writtenAtMs: number | undefined;
  const fault = await readSnapshot(
    fileWith(octets, atOnce),
    '/state/answers.snapshot',
    async (some, header) => {
      writtenAtMs = header.writtenAtMs;
      found.push(...some.map(copied));
      return true;
    },
  );
  return { entries: found, writtenAtMs, fault };
}

function copied(entry: SnapshotEntry): SnapshotEntry {
  const { earlier } = entry;
  const own = { ...entry, octets: new Uint8Array(entry.octets) };
  return earlier === undefined
    ? own
    : { ...own, earlier: { ...earlier, octets: new Uint8Array(earlier.octets) } };
}

/** One text for one list of entries. */
export function textOf(some: readonly SnapshotEntry[]): string {
  const answer = ({ kind, octets, ageMs, lifetimeMs }: SnapshotAnswer) =>
    `${kind} ${ageMs} ${lifetimeMs} ${Buffer.from(octets).toString('hex')}`;
  return some
    .map((entry) => {
      const { dnssecOk, checkingDisabled, hits, idleMs, earlier } = entry;
      const behind = earlier === undefined ? '' : ` behind it ${answer(earlier)}`;
      return `${answer(entry)} ${dnssecOk} ${checkingDisabled} ${hits} ${idleMs}${behind}`;
    })
    .join('\n');
}
