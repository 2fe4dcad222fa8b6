/**
 * The contract of an export format, which is an object in a file beside this one and a line in export.ts. A format turns the
 * records, and the addresses of the servers, into the text that another program reads. It opens no file and asks no server.
 */
import type { SocketAddress } from '../../config/kinds/address.ts';
import { socketText } from '../../protocol/words/address-text.ts';
import { AWS_PARTITIONS } from '../../protocol/words/aws-partitions.ts';
import { isAtOrUnder } from '../../protocol/words/name.ts';
import { type EndpointRecord, lastConfirmedAtMs, otherEndpointOf } from '../../records/endpoint-record.ts';
import { ageText } from '../../report/report.ts';
import type { EndpointsFile } from '../../store/endpoints-format.ts';
import { printable } from '../subcommand.ts';

export interface ExportFormat {
  /** One line for the help. */
  readonly about: string;
  /** Whether it names the servers: for other hosts of the site, or for this host, where loopback is an address, too. */
  readonly servers?: 'of the site' | 'of this host';
  /** Its program can only ask port 53. */
  readonly needsPort53?: true;
  /** It is about a single cluster. */
  readonly ofOneCluster?: true;
  readonly text: (site: ExportSite) => string | ExportRefusal | Promise<string>;
}

/** Why a format cannot be written, and the fix. */
export interface ExportRefusal {
  readonly error: string;
  readonly fix: string;
}

export interface ExportSite {
  /** The records that are exported, and the generation of their file. */
  readonly file: EndpointsFile;
  /** Wall time. */
  readonly nowMs: number;
  /** Where the servers answer; empty for a format without servers. */
  readonly servers: readonly SocketAddress[];
  /** The record of a format about a single cluster. */
  readonly cluster: EndpointRecord;
  /** Files of a client certificate: paths, which the text names and nobody opens. */
  readonly identity: { readonly certificate?: string; readonly key?: string; readonly ca?: string };
  /** The service network of the cluster, in CIDR form. */
  readonly serviceNetwork: string | undefined;
}

/** Lines of a file. */
export function textOf(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`;
}

/** `outpost-dns export: generation 42, written 2026-...`, for a comment at the head. */
export function headLine({ generation, writtenAtMs }: EndpointsFile): string {
  return `outpost-dns export: generation ${generation}, written ${new Date(writtenAtMs).toISOString()}`;
}

/** Returns the endpoint's name, and the name in DescribeCluster if it differs: the server answers both names. */
export function endpointNames(record: EndpointRecord): readonly string[] {
  return [record.endpoint ?? [], otherEndpointOf(record) ?? []].flat();
}

/** Cluster, Region and how long ago a source confirmed the addresses: one line for a comment. */
export function recordTitle(record: EndpointRecord, nowMs: number): string {
  const { cluster, region } = record;
  const confirmedAtMs = lastConfirmedAtMs(record);
  const age =
    confirmedAtMs === undefined
      ? 'never confirmed'
      : `confirmed ${ageText((nowMs - confirmedAtMs) / 1000)} ago`;
  return printable(`${cluster}${region === undefined ? '' : ` (${region})`}, ${age}`);
}

/** A comment, and a line for each name and address; a comment alone where the record cannot stand in a hosts file. */
export function hostLines(record: EndpointRecord, nowMs: number): string[] {
  const { endpoint, addresses } = record;
  const head = `# ${recordTitle(record, nowMs)}`;
  if (endpoint === undefined) return [`${head}: its endpoint name is not known`];
  if (addresses.length === 0) return [`${head}: no address is known`];
  const names = endpointNames(record);
  const unfit = names.find((name) => !/^[a-z0-9._-]+$/.test(name));
  if (unfit !== undefined) return [`${head}: "${unfit}" cannot stand in a hosts file`];
  return [head, ...names.flatMap((name) => addresses.map(({ address }) => `${address} ${name}`))];
}

/** Endpoints of EKS end so, in every partition: `abc.gr7.<region>.eks.amazonaws.com`. */
const EKS_ZONES = [...new Set(AWS_PARTITIONS.map(({ dnsSuffix }) => `eks.${dnsSuffix}`))];
/** Dual-stack endpoints end so: `abc.eks-cluster.<region>.api.aws`. */
const DUAL_STACK_ZONES = [...new Set(AWS_PARTITIONS.map(({ dualStackDnsSuffix }) => dualStackDnsSuffix))];

/** The zones in which the endpoints of these records are: a resolver of the site forwards them to the servers. */
export function forwardedZones(records: readonly EndpointRecord[]): readonly string[] {
  return [...new Set(records.flatMap(endpointNames).map(zoneOf))];
}

function zoneOf(name: string): string {
  const zone = EKS_ZONES.find((one) => isAtOrUnder(name, one));
  if (zone !== undefined) return zone;
  // the zone of a Region alone: all other names under the dual-stack suffix are services
  const regional = /(?:^|\.)(eks-cluster\.[^.]+\..+)$/.exec(name)?.[1];
  return regional !== undefined && DUAL_STACK_ZONES.some((one) => isAtOrUnder(name, one)) ? regional : name;
}

/** Zones whose names may resolve to private addresses: every suffix that an endpoint can have, and the zones of these records. */
export function privateZones(records: readonly EndpointRecord[]): readonly string[] {
  const known = [...EKS_ZONES, ...DUAL_STACK_ZONES];
  const others = forwardedZones(records).filter((zone) => !known.some((one) => isAtOrUnder(zone, one)));
  return [...known, ...others];
}

/** `10.0.9.53`, with the port where it is not 53: `10.0.9.53@5300` with `@`. */
export function serverText({ address, port }: SocketAddress, separator: string): string {
  return port === 53 ? address : `${address}${separator}${port}`;
}

/** `10.0.9.53`, `10.0.9.53:5300`, `[fd00::53]:5300`. */
export function hostPortText(server: SocketAddress): string {
  return server.port === 53 ? server.address : socketText(server);
}
