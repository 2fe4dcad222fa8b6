/**
 * Kinds of keys whose values are texts: addresses and networks (address.ts reads them), paths, the strings of `identity`, and
 * names of AWS, which go into requests. Domain names as an operator writes them are brought into lower case, without the last dot.
 */
import { domainToASCII } from 'node:url';
import { AWS_PARTITIONS, isNameOfAws, suffixesOf } from '../../protocol/words/aws-partitions.ts';
import { isAtOrUnder } from '../../protocol/words/name.ts';
import { type Reading, textKind } from '../key.ts';
import { parseAddress, readIpv4Address, readIpv4Network, readNetwork, readSocketAddress } from './address.ts';

export function absolutePath(example: string) {
  return textKind(readAbsolutePath, { allowed: 'an absolute path', example, pattern: '^/' });
}

const PATH_OCTETS = 1024; // a file name and a suffix still go after it, below Linux's 4,096

function readAbsolutePath(text: string): Reading<string> {
  if (text.includes('\0')) return { message: 'a path with a NUL octet' };
  if (!text.startsWith('/')) return { message: 'not an absolute path' };
  if (Buffer.byteLength(text) > PATH_OCTETS) return { message: `longer than ${PATH_OCTETS} octets` };
  return { value: text.replace(/(?<=.)\/+$/, '') };
}

/** One character-string of a TXT record: RFC 1035 section 3.3. */
export function characterString(example: string) {
  const read = (text: string): Reading<string> => {
    const octets = Buffer.byteLength(text);
    if (octets === 0) return { message: 'an empty text' };
    return octets <= 255 ? { value: text } : { message: `${octets} octets, more than 255` };
  };
  return textKind(read, { allowed: 'a text of 1 to 255 octets', example });
}

/** A line whose parts are read by a rule of the map that holds it. */
export function line(allowed: string) {
  const read = (text: string): Reading<string> => {
    if (text.trim() === '') return { message: 'an empty text' };
    return text.length <= 4096 ? { value: text } : { message: 'longer than 4096 characters' };
  };
  return textKind(read, { allowed });
}

interface NameKind {
  /** With its article. */
  readonly noun: string;
  readonly pattern: string;
  readonly example: string;
  /** Words in place of `noun`, where a noun is not enough. */
  readonly allowed?: string;
  /** The name that a faulty text probably means. */
  readonly near?: (text: string) => { readonly message?: string; readonly name: string } | undefined;
}

function nameKind({ noun, pattern, example, allowed = noun, near }: NameKind) {
  const shape = new RegExp(pattern, 'u');
  const read = (text: string): Reading<string> => {
    if (shape.test(text)) return { value: text };
    const meant = near?.(text);
    if (meant === undefined || !shape.test(meant.name)) return { message: `not ${noun}` };
    return { message: meant.message ?? `not ${noun}`, fix: `write ${meant.name}` };
  };
  return textKind(read, { allowed, example, pattern });
}

export function clusterName() {
  return nameKind({
    noun: 'a name of an EKS cluster',
    allowed: 'the name of an EKS cluster: up to 100 letters, digits, "-" and "_"',
    // No "*" and no "?": the name goes into a filter of EC2, where they are wildcards.
    pattern: '^[0-9A-Za-z][0-9A-Za-z_\\-]{0,99}$',
    example: 'my-cluster',
    near: (text) => {
      const [, name] = /^arn:[\w-]+:eks:[^:]*:[^:]*:cluster\/(.+)$/.exec(text) ?? [];
      return name === undefined ? undefined : { message: 'the ARN of a cluster, not its name', name };
    },
  });
}

export function regionName() {
  return nameKind({
    noun: 'an AWS Region',
    pattern: '^[a-z]{2,8}(-[a-z]{1,12})+-[0-9]{1,2}$',
    example: 'us-west-2',
    near: (text) => {
      const [, region] = /^(.*-[0-9]{1,2})(?:[a-z]|-.+)$/.exec(text) ?? [];
      return region === undefined
        ? { name: text.toLowerCase() }
        : { message: 'an availability zone, not a Region', name: region };
    },
  });
}

export function vpcId() {
  return nameKind({
    noun: 'the ID of a VPC',
    pattern: '^vpc-([0-9a-f]{8}|[0-9a-f]{17})$',
    example: 'vpc-0a1b2c3d4e5f60718',
  });
}

export function hostedZoneId() {
  return nameKind({
    noun: 'the ID of a hosted zone',
    pattern: '^Z[0-9A-Z]{1,31}$',
    example: 'Z0123456789ABCDEFGHIJ',
    near: (text) => ({
      message: 'more than the ID of a hosted zone',
      name: text.replace(/^\/?hostedzone\//, ''),
    }),
  });
}

export function profileName() {
  return nameKind({
    noun: 'the name of a profile',
    allowed: 'the name of a profile in the AWS configuration files',
    pattern: '^[^\\s\\u0000-\\u001f\\u007f-\\u009f\\[\\]][^\\u0000-\\u001f\\u007f-\\u009f\\[\\]]{0,127}$',
    example: 'outpost-dns',
  });
}

export function domainName(example: string) {
  return textKind(readDomainName, { allowed: 'a domain name', example });
}

export function endpointName() {
  const example = 'eks-cluster.us-west-2.eks.amazonaws.com';
  const read = (text: string): Reading<string> => {
    const name = readDomainName(text);
    if (!('value' in name) || !isZoneOfMany(name.value)) return name;
    const message = 'a zone with many names, all of which would be denied';
    return { message, fix: `write the whole name of the endpoint, such as ${example}` };
  };
  return textKind(read, { allowed: 'a domain name', example });
}

/** Nothing lives under an endpoint, so the server denies each name there. */
function isZoneOfMany(name: string): boolean {
  if (!name.includes('.')) return true;
  if (AWS_PARTITIONS.flatMap(suffixesOf).some((suffix) => isAtOrUnder(suffix, name))) return true;
  // all endpoints of a Region, or of all Regions
  return isNameOfAws(name) && /^(?:[a-z]+(?:-[a-z]+)+-\d+\.)?eks\./.test(name);
}

const LABEL_OCTETS = 63; // RFC 1035 section 2.3.4
const NAME_OCTETS = 255; // RFC 1035 section 2.3.4, with a length octet before each label and the root after the last

export function readDomainName(text: string): Reading<string> {
  const isAddress = parseAddress(text.replace(/\.$/, '')) !== undefined;
  return isAddress ? { message: 'an address, not a name' } : readName(text);
}

/** As `readDomainName`, for names relative to a zone: below in-addr.arpa a name can look like an address. */
export function readName(text: string): Reading<string> {
  const name = text.toLowerCase().replace(/\.$/, '');
  if (name === '')
    return { message: text === '' ? 'an empty name' : 'the root, which is no name of a zone or a host' };
  if (text.includes('://')) return { message: 'a URL, not a name', ...hostOf(text) };
  if (/[^\x21-\x7e]/.test(name)) return nonAscii(name);
  const labels = name.split('.');
  for (const label of labels) {
    const message = labelFault(label);
    if (message !== undefined) return { message };
  }
  if (name.length + 2 > NAME_OCTETS) return { message: `longer than ${NAME_OCTETS} octets` };
  return { value: name };
}

function labelFault(label: string): string | undefined {
  if (label === '') return 'an empty label: two dots in a row, or a dot in front';
  if (label.length > LABEL_OCTETS) return `a label longer than ${LABEL_OCTETS} octets`;
  if (label === '*') return 'a wildcard, which is not supported';
  const odd = /[^a-z0-9_-]/.exec(label);
  if (odd !== null) return `"${odd[0]}" is not allowed: names are made of letters, digits, "-" and "_"`;
  if (label.startsWith('-') || label.endsWith('-')) return `label "${label}" starts or ends with "-"`;
  return undefined;
}

function hostOf(url: string): { fix?: string } {
  const host = URL.parse(url)?.hostname;
  return host ? { fix: `write ${host}` } : {};
}

function nonAscii(name: string): Reading<never> {
  const ascii = domainToASCII(name); // RFC 5890: the DNS holds the A-label
  if (ascii === '' || ascii === name) return { message: 'a name with a space or a control character' };
  return { message: 'not in ASCII', fix: `write ${ascii}` };
}

/** A single IPv4 address that a machine can have. */
export function ipv4Address() {
  return textKind(readIpv4Address, { allowed: 'an IPv4 address, such as 10.0.3.10', pattern: '^[0-9.]+$' });
}

/** A network of either family, as `10.0.0.0/8`. */
export function network() {
  return textKind((text) => readNetwork(text), {
    allowed: 'a network in CIDR form, such as 10.0.0.0/8 or fd00::/8',
    pattern: '^[0-9A-Fa-f.:]+/[0-9]{1,3}$',
  });
}

/** An IPv4 network, as `10.0.0.0/8`. */
export function ipv4Network() {
  return textKind(readIpv4Network, {
    allowed: 'an IPv4 network in CIDR form, such as 10.0.0.0/8',
    pattern: '^[0-9.]+/[0-9]{1,2}$',
  });
}

/** An address to listen on; port 0 stands for any free port. */
export function listenAddress(defaultPort: number) {
  return textKind((text) => readSocketAddress(text, defaultPort, 0), {
    allowed: `an address with an optional port (default ${defaultPort}), such as 127.0.0.1:${defaultPort} or [::1]:${defaultPort}`,
    pattern: `^[0-9A-Fa-f.:\\[\\]]+${ZONE_PATTERN}$`,
  });
}

/** The address of a server that this host connects to. */
export function serverAddress(defaultPort: number) {
  return textKind((text) => readSocketAddress(text, defaultPort, 1), {
    allowed: `an address with an optional port (default ${defaultPort}), such as 10.0.0.9:${defaultPort} or [fd00::9]:${defaultPort}`,
    example: `10.0.0.9:${defaultPort}`,
    pattern: `^[0-9A-Fa-f.:\\[\\]]+${ZONE_PATTERN}$`,
  });
}

/** In the pattern of an address with an optional port: the interface of a link-local address. */
export const ZONE_PATTERN = '(%[^%/\\s\\]]+(\\](:[0-9]+)?)?)?';
