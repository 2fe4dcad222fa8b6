/** Findings about a second server of the site: does it answer the same, as fresh, in the same version? */
import packageJson from '../../../package.json' with { type: 'json' };
import { type SocketAddress, socketText } from '../../config/kinds/address.ts';
import { ageText } from '../../report/report.ts';
import { getStatus } from '../server-client.ts';
import { type Finding, problem, warning } from './finding.ts';
import { runningEndpoint, type ServerFacts, type Site, serverFacts } from './site.ts';

const TIMEOUT_MS = 3_000;
/** The sources are polled every few minutes: a difference within this time is no difference. */
const OLDER_SECONDS = 900;

/** `address` is that of its HTTP (`admin.listen`). */
export async function againstFindings(
  { server, endpoints }: Pick<Site, 'server' | 'endpoints'>,
  address: SocketAddress,
): Promise<readonly Finding[]> {
  const reading = await getStatus(address, TIMEOUT_MS);
  const text = socketText(address);
  const other = reading.kind === 'read' ? serverFacts(reading.whole) : undefined;
  if (other === undefined) {
    const why = reading.kind === 'failed' ? reading.detail : 'the answer is no status of an outpost-dns';
    const fix = `is it running, and does its admin.listen let this host in? curl http://${text}/status`;
    return [problem('second-server-unreachable', `the second server "${text}" does not answer: ${why}`, fix)];
  }
  return [
    ...versionFindings(server?.server.version ?? packageJson.version, other, text),
    ...endpoints.flatMap((endpoint) => endpointFindings(endpoint, server, other, text)),
  ];
}

function versionFindings(version: string, other: ServerFacts, text: string): readonly Finding[] {
  if (other.server.version === version) return [];
  return [
    warning(
      'second-server-version',
      `the second server "${text}" has version ${other.server.version}, this one has ${version}`,
      'upgrade the older one: docs/install.md',
    ),
  ];
}

function endpointFindings(
  { cluster, name, addresses }: Site['endpoints'][number],
  server: ServerFacts | undefined,
  other: ServerFacts,
  text: string,
): readonly Finding[] {
  const theirs = runningEndpoint(other, cluster);
  const what = `"${name ?? cluster.name}"`;
  if (theirs === undefined) {
    const fix = 'add the cluster to its configuration, and reload it: systemctl reload outpost-dns';
    return [problem('second-server-differs', `the second server "${text}" does not know ${what}`, fix)];
  }
  const found: Finding[] = [];
  const there = theirs.addresses.map(({ address }) => address);
  if (there.toSorted().join() !== addresses.toSorted().join()) {
    found.push(
      problem(
        'second-server-differs',
        `the second server "${text}" answers ${there.join(', ') || 'no address'} for ${what}, this one ${addresses.join(', ') || 'no address'}`,
        `compare their sources: outpost-dns status --admin ${text}`,
      ),
    );
  }
  const ours = runningEndpoint(server, cluster)?.confirmedAgeSeconds;
  const age = theirs.confirmedAgeSeconds;
  if (ours !== undefined && (age === undefined || age - ours > OLDER_SECONDS)) {
    const since = age === undefined ? 'never' : `${ageText(age)} ago`;
    found.push(
      warning(
        'second-server-older',
        `the second server "${text}" confirmed ${what} ${since}, this one ${ageText(ours)} ago`,
        `see which source fails there: outpost-dns status --admin ${text}`,
      ),
    );
  }
  return found;
}
