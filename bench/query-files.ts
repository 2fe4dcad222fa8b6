/** The files that dnsperf reads its questions from. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A name as long as an endpoint of EKS, under a domain that cannot be registered. */
export const ENDPOINT = '5e9d0f3c7a1b4286b0d4c8e2f6a19753.gr7.us-west-2.eks.bench.example';

/** More names than any server resolves in a second, so that no file is read to its end. */
export const MOST_PER_SECOND = 150_000;

export function cachedName(index: number): string {
  return `host-${index}.cached.bench.example`;
}

export function newName(series: string, index: number): string {
  return `${series}-${index.toString(36).padStart(5, '0')}.new.bench.example`;
}

/** One question for the A records of each of `count` names; returns the file. */
export async function writeQueryFile(
  directory: string,
  title: string,
  count: number,
  nameAt: (index: number) => string,
): Promise<string> {
  const file = join(directory, `${title}.queries`);
  const lines = Array.from({ length: count }, (_, index) => `${nameAt(index)} A\n`);
  await writeFile(file, lines.join(''));
  return file;
}
