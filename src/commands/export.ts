/**
 * `outpost-dns export`: writes the records of the state file, and the addresses of the servers, in a form that another program can
 * read. No server has to run. FORMATS names the formats.
 */

import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { connectable, readSocketAddress, type SocketAddress } from '../config/kinds/address.ts';
import { ipv4Network } from '../config/kinds/text.ts';
import { isLinkLocal, isLoopbackText, isWildcard, socketText } from '../protocol/words/address-text.ts';
import { type EndpointRecord, lastConfirmedAtMs, otherEndpointOf } from '../records/endpoint-record.ts';
import { ENDPOINTS, type EndpointsFile } from '../store/endpoints-format.ts';
import type { Fault } from '../store/set-aside.ts';
import { FileReader } from '../store/state-backend.ts';
import { readState } from '../store/state-format.ts';
import type { ExportFormat, ExportRefusal, ExportSite } from './export/format.ts';
import {
  BOTTLEROCKET,
  HOSTS,
  KUBECONFIG,
  NETWORK_MANAGER,
  NODEADM,
  RESOLV_CONF,
  SYSTEMD_RESOLVED,
} from './export/hosts-and-nodes.ts';
import { BIND, COREDNS, COREDNS_HOSTS, DNSMASQ, UNBOUND, WINDOWS, ZONE } from './export/resolvers.ts';
import {
  type ConfigSearch,
  DEFAULT_PLACES,
  findPlace,
  placesOf,
  type ServerOptions,
  searchConfig,
} from './running-server.ts';
import { getStatus } from './server-client.ts';
import { columns, EXIT, type ExitCode, OPTION, printFailure, type Run, stateOption } from './subcommand.ts';

interface ExportOptions extends ServerOptions {
  readonly format: string;
  readonly cluster?: string;
  readonly server?: readonly SocketAddress[];
  readonly certificate?: string;
  readonly key?: string;
  readonly ca?: string;
  readonly serviceCidr?: string;
}

export function define(command: Command, { ended }: Run): void {
  command
    .addOption(command.createOption('-f, --format <format>').choices(Object.keys(FORMATS)).default('hosts'))
    .option('--cluster <name>', 'this cluster alone')
    .option(
      '--server <address...>',
      'addresses of the servers, such as 10.0.9.53; by default those of the server that runs here',
      readServer,
    )
    .option('--certificate <file>', 'kubeconfig: the client certificate, in PEM')
    .option('--key <file>', 'kubeconfig: the key of that certificate, in PEM')
    .option('--ca <file>', 'kubeconfig: the certificate authority, in place of the one from DescribeCluster')
    .option(
      '--service-cidr <network>',
      'nodeadm: the service network of the cluster, as DescribeCluster says it',
      readNetworkText,
    )
    .option(...OPTION.config)
    .addOption(stateOption(command))
    .addHelpText('after', () =>
      [
        '',
        'Formats:',
        ...columns(
          Object.entries(FORMATS).map(([name, { about }]) => [name, about]),
          2,
        ),
      ].join('\n'),
    )
    .action(async (options: ExportOptions) => ended(await exportRecords(options)));
}

function readServer(text: string, before: readonly SocketAddress[] | undefined): readonly SocketAddress[] {
  if (text.includes(','))
    throw new InvalidArgumentError(
      `a list with commas\n    write --server ${text.match(/[^,\s]+/g)?.join(' ') ?? '10.0.9.53'}`,
    );
  const read = readSocketAddress(text, 53, 1);
  if (!('value' in read))
    throw new InvalidArgumentError(
      `${read.message}\n    ${read.fix ?? 'write 10.0.9.53 or [fd00::53]:5300'}`,
    );
  if (isWildcard(read.value.address))
    throw new InvalidArgumentError(
      'a wildcard, which no client can ask\n    write the addresses of the server',
    );
  return [...(before ?? []), read.value];
}

function readNetworkText(text: string): string {
  const read = ipv4Network().safeParse(text);
  if (read.success) return text;
  throw new InvalidArgumentError('Not a network: write 10.100.0.0/16.');
}

async function exportRecords(options: ExportOptions): Promise<ExitCode> {
  const format = FORMATS[options.format];
  if (format === undefined)
    throw new RangeError(`commander let an unknown format through: ${options.format}`);
  const directory = await findPlace('stateDirectory', options.state, options.config);
  if (typeof directory === 'number') return directory;
  const file = await readRecords(directory);
  if (file === undefined) return EXIT.finding;
  const search =
    options.state === undefined ? await searchConfig(options.config) : ({ kind: 'none' } as const);
  const site = await siteFor(format, options, file, search);
  const text = 'error' in site ? site : await format.text(site);
  if (typeof text !== 'string') {
    printFailure(`cannot export as ${options.format}: ${text.error}`, text.fix);
    return EXIT.finding;
  }
  process.stdout.write(text);
  for (const flag of unused(options)) printFailure(`${flag} has no effect on ${options.format}`);
  return EXIT.well;
}

/** Flags that are about other formats. */
function unused({ format, certificate, key, ca, serviceCidr, server }: ExportOptions): readonly string[] {
  const given = { '--certificate': certificate, '--key': key, '--ca': ca };
  const identity = format === 'kubeconfig' ? {} : given;
  const network = format === 'nodeadm' ? {} : { '--service-cidr': serviceCidr };
  const servers = FORMATS[format]?.servers === undefined ? { '--server': server } : {};
  const flags = Object.entries({ ...servers, ...identity, ...network });
  return flags.flatMap(([flag, value]) => (value === undefined ? [] : [flag]));
}

/** The newest whole generation; `undefined` where there is nothing to export, which has been explained. */
async function readRecords(directory: string): Promise<EndpointsFile | undefined> {
  const { served, faults } = await readState(new FileReader(directory), ENDPOINTS);
  for (const fault of faults)
    printFailure(`the state file "${fault.path}" cannot be used (${fault.reason}): ${fault.detail}`);
  if (served === undefined) {
    printFailure(nothingText(directory, faults));
    return undefined;
  }
  if (served.from === 'previous')
    printFailure(`these are the records of the previous generation (${served.generation})`);
  if (served.content.some(isAnswered)) return served;
  printFailure(`nothing to export: the state in "${directory}" holds no endpoint with an address`);
  return undefined;
}

function isAnswered({ endpoint, addresses }: EndpointRecord): boolean {
  return endpoint !== undefined && addresses.length > 0;
}

function nothingText(directory: string, faults: readonly Fault[]): string {
  if (faults.length > 0) return `nothing to export: no state file in "${directory}" can be used`;
  return `nothing to export: there is no state file in "${directory}": name its directory with --state, or start the server while AWS can be reached`;
}

async function siteFor(
  format: ExportFormat,
  { cluster: wanted, server = [], serviceCidr, certificate, key, ca }: ExportOptions,
  file: EndpointsFile,
  search: ConfigSearch,
): Promise<ExportSite | ExportRefusal> {
  const records = file.content.filter(({ cluster }) => wanted === undefined || cluster === wanted);
  const [cluster, ...others] = records.filter(isAnswered);
  const known = file.content.filter(isAnswered).map((record) => record.cluster);
  if (cluster === undefined) {
    return {
      error: `no endpoint of a cluster "${wanted}" is known`,
      fix: `what there is: ${known.join(', ')}`,
    };
  }
  if (format.ofOneCluster && others.length > 0) {
    return {
      error: 'this format is about a single cluster',
      fix: `add --cluster; what there is: ${known.join(', ')}`,
    };
  }
  const servers = await serversFor(format, server, search);
  if ('error' in servers) return servers;
  if (server.length === 0 && servers.length > 0) printFailure(foundText(servers));
  const configured = configuredIdentity(search, cluster);
  return {
    file: { ...file, content: records },
    nowMs: Date.now(),
    servers,
    cluster,
    identity: {
      // a pair: with one of the two from elsewhere kubectl would not get in, and in a cut nobody could make another
      ...(certificate === undefined && key === undefined
        ? { certificate: configured?.certificate, key: configured?.key }
        : { certificate: absolute(certificate), key: absolute(key) }),
      ca: absolute(ca) ?? configured?.ca,
    },
    serviceNetwork: serviceCidr,
  };
}

/** kubectl takes a relative path from the folder of the kubeconfig, which may be another than this. */
function absolute(file: string | undefined): string | undefined {
  return file === undefined ? undefined : resolve(file);
}

/** The files of the client certificate with which the server itself asks the API server. */
function configuredIdentity(search: ConfigSearch, { cluster, region }: EndpointRecord) {
  if (search.kind !== 'config') return undefined;
  const found = search.config.clusters.find((one) => one.name === cluster && one.region === region);
  return found?.kubernetes?.kind === 'certificate' ? found.kubernetes : undefined;
}

/** The formats by the name that --format takes. */
export const FORMATS: Readonly<Record<string, ExportFormat>> = {
  hosts: HOSTS,
  json: { about: 'the records with their times', text: jsonText },
  zone: ZONE,
  'resolv.conf': RESOLV_CONF,
  'systemd-resolved': SYSTEMD_RESOLVED,
  networkmanager: NETWORK_MANAGER,
  unbound: UNBOUND,
  bind: BIND,
  dnsmasq: DNSMASQ,
  coredns: COREDNS,
  'coredns-hosts': COREDNS_HOSTS,
  windows: WINDOWS,
  kubeconfig: KUBECONFIG,
  nodeadm: NODEADM,
  bottlerocket: BOTTLEROCKET,
};

// The addresses at which the servers of the site answer: those of the flag, of the running server, or of the configuration.

const TIMEOUT_MS = 1_000;

/** The sentence about servers that no flag named: a site has two, and one of them is found here. */
function foundText(servers: readonly SocketAddress[]): string {
  return `the addresses are those of the server that runs here: ${servers.map(socketText).join(', ')}; name all servers of the site with --server`;
}

/** `given`: what --server names. */
export async function serversFor(
  { servers: scope, needsPort53 }: ExportFormat,
  given: readonly SocketAddress[],
  search: ConfigSearch,
): Promise<readonly SocketAddress[] | ExportRefusal> {
  if (scope === undefined) return [];
  const servers = given.length > 0 ? given : reachable(await listening(search), scope);
  if (servers.length === 0) {
    return {
      error: `the addresses of the servers are not known: no server runs here that ${scope === 'of the site' ? 'other hosts can ask' : 'answers'}`,
      fix: 'name them: --server 10.0.9.53 10.0.9.54',
    };
  }
  const other = needsPort53 ? servers.find(({ port }) => port !== 53) : undefined;
  if (other === undefined) return servers;
  return {
    error: `this format cannot name the port of "${socketText(other)}"`,
    fix: 'let the server listen at port 53, or name another address with --server',
  };
}

/** Of the running server; of the configuration where none answers. */
async function listening(search: ConfigSearch): Promise<readonly SocketAddress[]> {
  const { admin } = search.kind === 'config' ? placesOf(search.config) : DEFAULT_PLACES;
  const reading = await getStatus(admin, TIMEOUT_MS);
  if (reading.kind === 'failed') return search.kind === 'config' ? search.config.listen.dns : [];
  return reading.facts.server.listening.flatMap(({ address }) => {
    const read = readSocketAddress(address, 53, 1);
    return 'value' in read ? [read.value] : [];
  });
}

/** A wildcard stands for the addresses of this host; loopback counts for this host alone. */
function reachable(
  addresses: readonly SocketAddress[],
  scope: NonNullable<ExportFormat['servers']>,
): readonly SocketAddress[] {
  const own = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  const outside = own.filter(({ internal, address }) => !internal && !isLinkLocal(address));
  const all = addresses.flatMap(({ address, port }) => {
    const family = address === '0.0.0.0' ? 'IPv4' : address === '::' ? 'IPv6' : undefined;
    if (family === undefined) return [{ address, port }];
    return outside.filter((one) => one.family === family).map((one) => ({ address: one.address, port }));
  });
  const far = distinct(all.filter(({ address }) => !isLoopbackText(address) && !isLinkLocal(address)));
  if (far.length > 0 || scope === 'of the site') return far;
  return distinct(addresses.map(connectable));
}

function distinct(addresses: readonly SocketAddress[]): readonly SocketAddress[] {
  return [...new Map(addresses.map((one) => [socketText(one), one])).values()];
}

// The records as an array of JSON objects, with times for a person and ages that a program can compare.

export function jsonText({ file: { content: records }, nowMs }: Pick<ExportSite, 'file' | 'nowMs'>): string {
  return `${JSON.stringify(
    records.map((record) => recordObject(record, nowMs)),
    null,
    2,
  )}\n`;
}

function recordObject(record: EndpointRecord, nowMs: number): object {
  const { held, details, pin } = record;
  const confirmedAtMs = lastConfirmedAtMs(record);
  return {
    cluster: record.cluster,
    region: record.region,
    endpoint: record.endpoint,
    describedEndpoint: otherEndpointOf(record),
    addresses: record.addresses.map(({ address }) => address),
    basis: record.basis,
    ttlSeconds: record.ttlSeconds,
    changedAt: momentText(record.changedAtMs),
    confirmedAt: Object.fromEntries(
      Object.entries(record.confirmedAtMs).map(([source, ms]) => [source, momentText(ms)]),
    ),
    confirmedAgeSeconds:
      confirmedAtMs === undefined ? undefined : Math.max(0, Math.round((nowMs - confirmedAtMs) / 1000)),
    lastRefreshFailed: record.lastRefreshFailed,
    held: held && { addresses: held.addresses, reason: held.reason, since: momentText(held.sinceMs) },
    pin: pin && {
      addresses: pin.addresses,
      why: pin.why,
      by: pin.by,
      since: momentText(pin.sinceMs),
      until: momentText(pin.untilMs),
    },
    clusterId: details?.id,
    vpcId: details?.vpcId,
    subnetIds: details?.subnetIds,
    generation: details?.generation,
    certificateAuthority: details?.certificateAuthority,
  };
}

function momentText(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}
