/** A server that the bench measures: its configuration for the common task, its start, and its version. */
import { spawnSync } from 'node:child_process';
import type { RowName } from './rows.ts';

/** The task, equal for all contenders. */
export interface Task {
  /** A folder of the contender's own, to write its configuration into. */
  readonly directory: string;
  /** On 127.0.0.1, UDP and TCP. */
  readonly port: number;
  /** For a contender that needs a second listener. */
  readonly adminPort: number;
  /** On 127.0.0.1: all names except the endpoint are forwarded there. */
  readonly upstreamPort: number;
  /** The one name that is answered from configuration, with these A records. */
  readonly endpoint: string;
  readonly addresses: readonly string[];
  /** Names that the cache has to hold, and the memory that it may take for them. */
  readonly cachedNames: number;
  readonly cacheMebibytes: number;
  /** Queries in flight to the upstream; 0 where none are forwarded. */
  readonly forwardedAtATime: number;
  /** TCP connections at a time. */
  readonly tcpConnections: number;
  /** Only in the row `idle`: for a contender that asks AWS. */
  readonly region?: Region;
}

/** A simulated AWS Region with the cluster of the endpoint. */
export interface Region {
  /** Of AWS, such as `us-west-2`. */
  readonly name: string;
  readonly cluster: string;
  /** Variables for the process that asks it. */
  readonly environment: Readonly<Record<string, string>>;
  /** `host:port` of its DNS. */
  readonly upstreams: readonly string[];
  readonly pollEverySeconds: number;
}

export interface Contender {
  readonly name: string;
  /** The Debian package to install where it is missing. */
  readonly debianPackage: string;
  /** The rows that it can take part in; without this, all rows. */
  readonly rows?: readonly RowName[];
  /** It polls the Region in a thread of this name, which is not there between polls. */
  readonly pollThread?: string;
  /** It answers nothing: its start is over when it ends. */
  readonly answers?: false;
  /** Its version as it prints it, such as `Version 1.17.1`; undefined where it is not installed. */
  version(): string | undefined;
  /** Writes its configuration; returns the command that runs it in the foreground. */
  prepare(task: Task): Promise<readonly string[]>;
}

/** Servers are in sbin, which is not in every user's path. */
export const ENVIRONMENT: NodeJS.ProcessEnv = {
  PATH: `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/local/sbin:/usr/sbin:/sbin`,
  LC_ALL: 'C',
  // no contender may send a query off this machine
  AWS_EC2_METADATA_DISABLED: 'true',
};

/** The first version number in the output of `command`; undefined where it cannot be run. */
export function versionOf(command: string, ...args: readonly string[]): string | undefined {
  const { error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env: ENVIRONMENT });
  if (error !== undefined) return undefined;
  return /\d+\.\d+(?:\.\d+)?/.exec(`${stdout}${stderr}`)?.[0] ?? 'of unknown version';
}
