/** What each packager gets, and how it runs the tool of its format. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Architecture } from '../runtime.ts';

export interface PackageJob {
  /** The folder of all files, see delivery.ts. */
  readonly delivery: string;
  readonly architecture: Architecture;
  readonly version: string;
  /** The time of every file in the package. */
  readonly epochSeconds: number;
  /** A folder of this job alone. */
  readonly room: string;
  /** Where the package goes. */
  readonly out: string;
}

export const MAINTAINER = 'outpost-dns maintainers <maintainers@outpost-dns.example>';
export const SUMMARY = 'DNS server for Amazon EKS local clusters on Outposts';
export const DESCRIPTION: readonly string[] = [
  "Keeps the name of a local cluster's API endpoint resolvable while the",
  'Outpost is cut off from AWS: it learns the addresses from DNS, Route 53,',
  'EC2 and EKS, keeps them on disk, and answers from them however long the',
  'link is down. All other names are forwarded through a cache that survives',
  'an outage too.',
];

/** Fast rather than small: level 6 takes seven times as long and saves a seventh. */
export const XZ_LEVEL = 1;

/** Runs a program to its end; the error holds what it printed. */
export async function tool(
  job: PackageJob,
  program: string,
  args: readonly string[],
  cwd?: string,
): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, [...args], {
      cwd: cwd ?? job.room,
      maxBuffer: 1 << 26,
      env: { ...process.env, SOURCE_DATE_EPOCH: `${job.epochSeconds}`, TZ: 'UTC', LC_ALL: 'C.UTF-8' },
    });
    return stdout;
  } catch (error) {
    if (error instanceof Error && Reflect.get(error, 'code') === 'ENOENT')
      throw new Error(`no program "${program}": apt-get install dpkg rpm tar xz-utils`, { cause: error });
    throw error;
  }
}
