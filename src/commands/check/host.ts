/**
 * Findings about this host and its configuration: single points of failure, pins, the hosts file, missing names, proxies, a state
 * directory that does not last.
 */
import { open, readFile, statfs } from 'node:fs/promises';
import type { Config } from '../../config/config.ts';
import { defaultGroup, siteGroup } from '../../daemon/routes.ts';
import { socketText } from '../../protocol/words/address-text.ts';
import { isAtOrUnder } from '../../protocol/words/name.ts';
import { SPECIAL_NAMES } from '../../protocol/words/special-names.ts';
import { clusterText } from '../../records/endpoint-record.ts';
import type { RetainedRecord } from '../../records/retained-record.ts';
import { systemCode } from '../../runtime/system-errors.ts';
import type { Reading } from '../../store/state-format.ts';
import { type Finding, problem, warning } from './finding.ts';
import type { Site } from './site.ts';

export function configFindings(config: Config): readonly Finding[] {
  const { clusters, upstreams } = config;
  const pinned = clusters.filter(({ pin }) => pin.length > 0);
  return [
    ...pinned.flatMap((cluster) =>
      warning(
        'pinned-in-configuration',
        `the addresses of cluster "${clusterText(cluster, clusters)}" are pinned to ${cluster.pin.join(', ')}: the addresses from the sources are not served`,
        'remove clusters[].pin when the sources are right again: "outpost-dns status" shows their addresses',
      ),
    ),
    ...singleUpstream(upstreams),
    ...deniedSiteNames(config),
  ];
}

/** A denial of these names breaks sites with Active Directory on .local, or with reverse names of nodes, on the first day. */
function deniedSiteNames(config: Config): readonly Finding[] {
  if (config.forward.siteNames === 'never' || siteGroup(config, defaultGroup(config)) !== undefined)
    return [];
  const zones = Array.from(config.zones, ({ name }) => name);
  const denied = SPECIAL_NAMES.filter(
    ({ name, isOfSite }) => isOfSite && !zones.some((zone) => isAtOrUnder(name, zone)),
  );
  if (denied.length === 0) return [];
  const some = denied.slice(0, NAMES_SHOWN).map(({ name }) => name);
  const more =
    denied.length > NAMES_SHOWN ? ` and ${denied.length - NAMES_SHOWN} more (docs/special-names.md)` : '';
  return warning(
    'site-names-denied',
    `no upstream is on the site, so names that may exist on the site alone are denied: ${some.join(', ')}${more}`,
    'add a zone with forwardTo for each of them that the site has, name its resolvers in drill.onSite, or set forward.siteNames',
  );
}

const NAMES_SHOWN = 4;

function singleUpstream(upstreams: Config['upstreams']): readonly Finding[] {
  const [only, ...others] = upstreams;
  if (only === undefined || others.length > 0) return [];
  return warning(
    'single-upstream',
    `there is a single upstream, "${socketText(only)}": while it is down, no other name is forwarded`,
    'add a second upstream, if possible on this site',
  );
}

/** A server that never had an upstream misses all names: one line says it as well as a thousand. */
const RETAINED_SHOWN = 5;

export function retainedFindings(
  retain: Config['retain'],
  { served, faults }: Reading<readonly RetainedRecord[]>,
): readonly Finding[] {
  if (retain.length === 0) return [];
  const kept = new Set(served?.content.map(({ name }) => name));
  const missing = [...new Set(retain.map(({ name }) => name))].filter((name) => !kept.has(name));
  const found = [
    ...faults.flatMap(({ path, detail }) =>
      warning(
        'retained-unreadable',
        `retained answers cannot be read from "${path}": ${detail}`,
        "run the check as the server's user: sudo -u outpost-dns outpost-dns check",
      ),
    ),
    ...missing
      .slice(0, RETAINED_SHOWN)
      .flatMap((name) =>
        problem(
          'retained-name-missing',
          `retained name "${name}": no answer to it was ever kept`,
          'while connected, "outpost-dns status" says why no upstream answers it; or remove it from retain',
        ),
      ),
  ];
  const rest = missing.length - RETAINED_SHOWN;
  if (rest <= 0) return found;
  const more = problem(
    'retained-name-missing',
    `and ${rest} more retained names`,
    'see "outpost-dns status"',
  );
  return [...found, ...more];
}

export const HOSTS_FILE = '/etc/hosts';

const READ_OCTETS = 4 * 1024 * 1024; // block lists in hosts files are long; lines after this are not read

interface HostsLine {
  /** Counted from 1. */
  readonly line: number;
  readonly address: string;
  /** In lower case, without a final dot. */
  readonly names: readonly string[];
}

/** No lines where there is no such file; the system's error code where it cannot be read. */
export async function readHosts(path: string): Promise<readonly HostsLine[] | { readonly code: string }> {
  try {
    await using handle = await open(path, 'r');
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(READ_OCTETS), 0, READ_OCTETS, 0);
    return parseHosts(buffer.toString('utf8', 0, bytesRead));
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    return code === 'ENOENT' ? [] : { code };
  }
}

export function parseHosts(text: string): readonly HostsLine[] {
  return text.split('\n').flatMap((content, index) => {
    const [address = '', ...names] = (content.split('#', 1)[0] ?? '').trim().split(/\s+/);
    if (names.length === 0) return [];
    return [{ line: index + 1, address, names: names.map((name) => name.toLowerCase().replace(/\.$/, '')) }];
  });
}

export async function hostsFileFindings({
  endpoints,
  hostsFile,
}: Pick<Site, 'endpoints' | 'hostsFile'>): Promise<readonly Finding[]> {
  const lines = await readHosts(hostsFile);
  if ('code' in lines) {
    const text = `"${hostsFile}" cannot be read (${lines.code}): whether it overrides an endpoint is not known`;
    return warning('hosts-file-unreadable', text, 'search it for the name of the endpoint');
  }
  const known = endpoints.flatMap(({ name, addresses }) =>
    name === undefined ? [] : [{ endpoint: name, addresses }],
  );
  return hostsFindings(hostsFile, lines, known);
}

interface KnownEndpoint {
  /** A domain name as text. */
  readonly endpoint: string;
  readonly addresses: readonly string[];
}

/** The bootstrap of a node (AL2, nodeadm) appends the endpoint at boot; the line wins over DNS and is never refreshed. */
export function hostsFindings(
  path: string,
  lines: readonly HostsLine[],
  endpoints: readonly KnownEndpoint[],
): readonly Finding[] {
  return endpoints.flatMap(({ endpoint, addresses }) =>
    lines
      .filter(({ names }) => names.includes(endpoint))
      .flatMap(({ line, address }) => {
        const text = `line ${line} of "${path}" gives "${endpoint}" the address ${address}, and wins over DNS on this host`;
        const fix = `remove the name from that line, which is never refreshed; where the bootstrap of the node wrote it, use the DNS of this server instead`;
        // a wrong line is a wrong answer today; a right one becomes wrong with the next change
        if (addresses.length > 0 && !addresses.includes(address))
          return problem(
            'hosts-file-contradicts',
            `${text}: it is not an address of the endpoint any more`,
            fix,
          );
        return warning('hosts-file-names-endpoint', text, fix);
      }),
  );
}

// Findings about the place of the state: does it survive a restart?

/** File systems that a restart, or a new container, empties; numbers of statfs(2). */
const VOLATILE: ReadonlyMap<number, string> = new Map([
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
  [0x794c7630, 'overlay'],
]);

const VOLUME =
  'mount a volume at state.directory, such as "docker run --volume outpost-dns:/var/lib/outpost-dns", or a hostPath';
const MOVE = 'name a directory on a disk in state.directory; "df -T" shows the kind of each file system';

type FileSystemType = (path: string) => Promise<number>;

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
    return warning('state-not-durable', text, VOLUME);
  }
  const text = `the state directory "${directory}" is on ${kind}: it is empty after a restart of the host`;
  return problem('state-not-durable', text, MOVE);
}

// The proxies that other programs of this host use.

export interface NamedProxy {
  readonly file: string;
  readonly url: string;
}

/** Files in which other programs of this host find their proxy. */
const PROXY_FILES = [
  '/etc/environment',
  '/etc/apt/apt.conf',
  '/etc/apt/apt.conf.d/proxy.conf',
  '/etc/dnf/dnf.conf',
  '/etc/yum.conf',
];

/** An endpoint of the operator's own, such as the sandbox's, is not behind the proxy of other programs. */
export const proxiesOfHost: typeof namedProxies = async (site) =>
  process.env['AWS_ENDPOINT_URL'] ? [] : namedProxies(site);

/** A proxy that other programs of this host use, without user and password. */
export async function namedProxies(
  _site: unknown,
  files: readonly string[] = PROXY_FILES,
): Promise<readonly NamedProxy[]> {
  const found = await Promise.all(
    files.map(async (file): Promise<readonly NamedProxy[]> => {
      const text = await readFile(file, 'utf8').catch(() => '');
      const line = /^[^#\n]*(?:https?_proxy|Acquire::https?::Proxy|^proxy)\W+(https?:\/\/[^\s"';]+)/im.exec(
        text,
      );
      const url = URL.parse(line?.[1] ?? '');
      return url === null ? [] : [{ file, url: `${url.protocol}//${url.host}` }];
    }),
  );
  return found.flat();
}
