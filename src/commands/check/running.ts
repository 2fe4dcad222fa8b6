/** Findings that a running server gives: what it saves, what it has proven, what a second server answers, and what a cut would fail. */

import packageJson from '../../../package.json' with { type: 'json' };
import { AS_IF_CUT_PATH, type AsIfCutReport, asIfCutReport } from '../../admin/drill-control.ts';
import type { SocketAddress } from '../../config/kinds/address.ts';
import { socketText } from '../../protocol/words/address-text.ts';
import { servedIn } from '../../records/endpoint-record.ts';
import { ageText, plural } from '../../report/report.ts';
import { attemptRead } from '../../runtime/forms.ts';
import { getStatus, sendCommand } from '../server-client.ts';
import { type Finding, problem, warning } from './finding.ts';
import { runningEndpoint, type ServerFacts, type Site, type SiteEndpoint, serverFacts } from './site.ts';

// Findings about a second server of the site: does it answer the same, as fresh, in the same version?

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
    return problem('second-server-unreachable', `the second server "${text}" does not answer: ${why}`, fix);
  }
  return [
    ...versionFindings(server?.server.version ?? packageJson.version, other, text),
    ...endpoints.flatMap((endpoint) => endpointFindings(endpoint, server, other, text)),
  ];
}

function versionFindings(version: string, other: ServerFacts, text: string): readonly Finding[] {
  if (other.server.version === version) return [];
  return warning(
    'second-server-version',
    `the second server "${text}" has version ${other.server.version}, this one has ${version}`,
    'upgrade the older one: docs/install.md',
  );
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
    return problem('second-server-differs', `the second server "${text}" does not know ${what}`, fix);
  }
  const found: Finding[] = [];
  const there = theirs.addresses.map(({ address }) => address);
  if (there.toSorted().join() !== addresses.toSorted().join()) {
    found.push(
      ...problem(
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
      ...warning(
        'second-server-older',
        `the second server "${text}" confirmed ${what} ${since}, this one ${ageText(ours)} ago`,
        `see which source fails there: outpost-dns status --admin ${text}`,
      ),
    );
  }
  return found;
}

/** The findings that only the running server shows. */
export function writerFindings({ config, server }: Site): readonly Finding[] {
  if (server === undefined || server.state.isOurs) return [];
  return problem(
    'state-other-writer',
    `the running server writes nothing in "${config.state.directory}": ${server.state.faults.join('; ')}`,
    'give each server a state.directory of its own, or end the other server',
  );
}

/** What the running server says of itself: this command may see another host, as when root may read what the server may not. */
export function serverFindings({
  server,
  endpoints,
}: Pick<Site, 'server' | 'endpoints'>): readonly Finding[] {
  if (server === undefined) return [];
  const { server: process, state, queries } = server;
  const found: Finding[] = process.notReady.flatMap((reason) =>
    problem('server-not-ready', `the running server is not ready: ${reason}`, NOT_READY),
  );
  for (const { cluster } of endpoints)
    if (runningEndpoint(server, cluster) === undefined)
      found.push(
        ...problem(
          'configuration-not-loaded',
          `the running server does not know cluster "${cluster.name}": it runs an older configuration`,
          'systemctl reload outpost-dns; where it refuses, the log names the fault',
        ),
      );
  const { unsent } = queries;
  if (unsent !== undefined)
    found.push(
      ...problem(
        'replies-not-sent',
        `${plural(unsent.times, 'reply', 'replies')} of the running server to clients could not be sent: ${unsent.reason}`,
        'EPERM: see nft list ruleset, and dmesg for a full connection table; ENETUNREACH: see ip route',
      ),
    );
  if (!state.isOurs) return found;
  if (state.failure !== undefined)
    found.push(
      ...problem('state-not-saved', `the running server cannot save the endpoints: ${state.failure}`, SAVING),
    );
  for (const fault of state.faults)
    found.push(...warning('server-faults', `the running server says: ${fault}`, FAULTS));
  return found;
}

const NOT_READY =
  '"outpost-dns status" shows why each source fails; addresses that you know are served at once by "outpost-dns pin", with the name in clusters[].endpoint';
const SAVING =
  'free the disk (its space or its inodes: "df -h", "df -i"), or give the directory and its files to the user of the server: chown -R outpost-dns:';
const FAULTS =
  'look the words up in docs/log.md; files that were set aside are in the state directory, with the reason in their names';

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
    return problem(
      'state-behind-server',
      `the running server serves ${missing.join(', ')} for "${name}", and the state in "${directory}" does not have it`,
      'see why nothing is saved: "outpost-dns status" shows the faults of the state, "df -h" and "df -i" a disk that is full',
    );
  });
}

// Findings about the addresses of endpoints: refused, not proven, dead. The running server has checked them; without
// it, the state has the last proof.

interface CheckedAddress {
  readonly address: string;
  readonly isDead?: boolean | undefined;
  readonly proof?: { readonly state: string; readonly reason?: string | undefined } | undefined;
}

interface Checked {
  readonly served: readonly CheckedAddress[];
  readonly withheld: readonly CheckedAddress[];
}

export function addressFindings({
  endpoints,
  server,
}: Pick<Site, 'endpoints' | 'server'>): readonly Finding[] {
  return endpoints.flatMap((endpoint) => {
    // addresses are checked only where `probe` is set, and a pin is the operator's own word
    if (endpoint.cluster.probe === undefined || endpoint.cluster.pin.length > 0) return [];
    const { served, withheld } = checkedOf(endpoint, server);
    const name = `"${endpoint.name ?? endpoint.cluster.name}"`;
    return [
      ...served.flatMap((one) => findingOf(one, name, true)),
      ...withheld.flatMap((one) => findingOf(one, name, false)),
    ];
  });
}

function checkedOf({ cluster, record }: SiteEndpoint, server: ServerFacts | undefined): Checked {
  const running = runningEndpoint(server, cluster);
  if (running !== undefined) return { served: running.addresses, withheld: running.withheld };
  return record === undefined ? { served: [], withheld: [] } : servedIn(record);
}

function findingOf(
  { address, isDead, proof }: CheckedAddress,
  name: string,
  isServed: boolean,
): readonly Finding[] {
  const reason = proof?.reason === undefined ? '' : ` (${proof.reason})`;
  if (proof?.state === 'refused') {
    const text = `${address} of ${name} shows another certificate than the cluster's${reason}`;
    if (!isServed) return warning('address-refused', `${text}: it is not served`, REFUSED);
    return problem('address-refused', `${text}: it is served, because no address is proven`, REFUSED);
  }
  if (isDead === true)
    return warning(
      'address-dead',
      `${address} of ${name} does not answer: it is served last`,
      tryIt(address),
    );
  if (proof?.state !== 'unproven') return [];
  return warning(
    'address-not-proven',
    `${address} of ${name} is not proven${reason}`,
    UNPROVEN[proof.reason ?? ''] ?? tryIt(address),
  );
}

const REFUSED =
  'compare it with the network interfaces of the cluster in EC2; "outpost-dns pin" serves the right addresses until the sources agree';
const UNPROVEN: Readonly<Record<string, string>> = {
  'no-authority':
    'allow eks:DescribeCluster, which returns the authority of the cluster, or name its file in clusters[].probe.ca',
};

function tryIt(address: string): string {
  return `try it from this host: curl -k https://${address}/healthz; a firewall or the local gateway may not let this host through`;
}

// Findings about a cut that is only imagined: the running server rehearses the questions, and no client notices.

export async function asIfCutFindings({ config }: Pick<Site, 'config'>): Promise<readonly Finding[]> {
  const answer = await sendCommand(config.state.directory, 'GET', AS_IF_CUT_PATH);
  if (answer.kind !== 'done') {
    const text = `the running server cannot say what would fail in a cut: ${answer.detail}`;
    return problem('cut-not-rehearsed', text, answer.fix);
  }
  const report = attemptRead(asIfCutReport, answer.content);
  if (report.kind === 'ok') return cutFindings(report.content);
  return problem(
    'cut-not-rehearsed',
    'the running server cannot say what would fail in a cut: the answer is not one of this version',
    'restart it, so that it runs this version: systemctl restart outpost-dns',
  );
}

/** Findings of each group that are shown; the JSON of the server has all of them. */
const SHOWN = 10;

export function cutFindings({ endpoints, retained, asked }: AsIfCutReport): readonly Finding[] {
  return [
    ...listed(endpoints, (text) =>
      problem(
        'cut-endpoint-fails',
        `in a cut the endpoint ${text} would fail`,
        '"outpost-dns explain NAME" says why; start the server while AWS can be reached, until it is ready',
      ),
    ),
    ...listed(retained, (text) =>
      problem(
        'cut-retained-name-fails',
        `in a cut the retained name ${text} would fail`,
        '"outpost-dns status" says why no upstream answers it while connected; or remove it from retain',
      ),
    ),
    ...listed(asked, (text) =>
      warning(
        'cut-name-fails',
        `in a cut ${text}, which clients asked for in the last day, would fail`,
        'add the name to retain, or give its zone a forwardTo on the site; "outpost-dns explain NAME" says why',
      ),
    ),
  ];
}

function listed(
  { failing, more }: AsIfCutReport['asked'],
  findingsOf: (text: string) => readonly Finding[],
): readonly Finding[] {
  const rest = failing.length - SHOWN + more;
  const shown = failing
    .slice(0, SHOWN)
    .flatMap(({ name, type, step }) => findingsOf(`"${name}" ${type} (${step})`));
  return failing.length > SHOWN ? [...shown, ...findingsOf(`... and ${rest} more`)] : shown;
}
