/** Findings about the place of the state: does it survive a restart, who writes it, and is it what the running server serves? */
import { statfs } from 'node:fs/promises';
import { systemCode } from '../../store/file-system.ts';
import { type Finding, problem, warning } from './finding.ts';
import type { Site } from './site.ts';

/** File systems that a restart, or a new container, empties; numbers of statfs(2). */
const VOLATILE: ReadonlyMap<number, string> = new Map([
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
  [0x794c7630, 'overlay'],
]);

const VOLUME =
  'mount a volume at state.directory, such as "docker run --volume outpost-dns:/var/lib/outpost-dns", or a hostPath';
const MOVE = 'name a directory on a disk in state.directory; "df -T" shows the kind of each file system';

export type FileSystemType = (path: string) => Promise<number>;

const typeOf: FileSystemType = async (path) => (await statfs(path)).type;

export async function durabilityFindings(
  { config, state, isSandbox }: Site,
  fileSystemType: FileSystemType = typeOf,
): Promise<readonly Finding[]> {
  if (isSandbox || state.state.kind !== 'present') return [];
  const { directory } = config.state;
  const kind = await fileSystemType(directory).then(
    (type) => VOLATILE.get(type),
    (error: unknown) => {
      if (systemCode(error) === undefined) throw error;
      return undefined;
    },
  );
  if (kind === undefined) return [];
  if (kind === 'overlay') {
    const text = `the state directory "${directory}" is in the upper layer of a container (overlay): it is empty after the container is replaced`;
    return [warning('state-not-durable', text, VOLUME)];
  }
  const text = `the state directory "${directory}" is on ${kind}: it is empty after a restart of the host`;
  return [problem('state-not-durable', text, MOVE)];
}

/** The findings that only the running server shows. */
export function writerFindings({ config, server }: Site): readonly Finding[] {
  if (server === undefined || server.state.isOurs) return [];
  return [
    problem(
      'state-other-writer',
      `the running server writes nothing in "${config.state.directory}": ${server.state.faults.join('; ')}`,
      'give each server a state.directory of its own, or end the other server',
    ),
  ];
}

/** Compares the addresses on the disk with the addresses that the running server serves. */
export function behindFindings({ config, endpoints, server, state }: Site): readonly Finding[] {
  if (server === undefined || state.reading.served === undefined) return [];
  const { directory } = config.state;
  return endpoints.flatMap(({ cluster, record, addresses, name }) => {
    if (record === undefined || cluster.pin.length > 0 || addresses.length === 0) return [];
    const kept = new Set([...record.addresses, ...(record.leaving ?? [])].map((one) => one.address));
    for (const pinned of record.pin?.addresses ?? []) kept.add(pinned);
    const missing = addresses.filter((one) => !kept.has(one));
    if (missing.length === 0) return [];
    return [
      problem(
        'state-behind-server',
        `the running server serves ${missing.join(', ')} for "${name}", and the state in "${directory}" does not have it`,
        'see why nothing is saved: "outpost-dns status" shows the faults of the state, "df -h" a full disk',
      ),
    ];
  });
}
