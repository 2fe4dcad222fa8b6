/** The hosts file of this machine, as far as it stands in front of DNS: lines that name an endpoint (hosts(5)). */
import { open } from 'node:fs/promises';
import { systemCode } from '../store/file-system.ts';
import { type Finding, problem, warning } from './finding.ts';

export const HOSTS_FILE = '/etc/hosts';

const READ_OCTETS = 4 * 1024 * 1024; // block lists in hosts files are long; what lies beyond is not looked at

export interface HostsLine {
  /** Counted from 1. */
  readonly line: number;
  readonly address: string;
  /** In lower case, without a last dot. */
  readonly names: readonly string[];
}

/** Resolves to no lines where there is no such file, and to the system's code where it cannot be read. */
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

export interface KnownEndpoint {
  /** A domain name as text. */
  readonly endpoint: string;
  readonly addresses: readonly string[];
}

/** Node bootstrap (AL2, nodeadm) appends the endpoint at boot; the line wins over DNS and is never refreshed. */
export function hostsFindings(
  path: string,
  lines: readonly HostsLine[],
  endpoints: readonly KnownEndpoint[],
): readonly Finding[] {
  return endpoints.flatMap(({ endpoint, addresses }) =>
    lines
      .filter(({ names }) => names.includes(endpoint))
      .map(({ line, address }) => {
        const what = `line ${line} of "${path}" gives "${endpoint}" the address ${address}, and wins over DNS on this host`;
        const mend = `take the name out of that line: it is never refreshed; where node bootstrap wrote it, use the DNS of this server instead`;
        // a wrong line is a wrong answer today; a right one becomes wrong with the next change
        if (addresses.length > 0 && !addresses.includes(address))
          return problem(`${what}: not an address of the endpoint any more`, mend);
        return warning(what, mend);
      }),
  );
}
