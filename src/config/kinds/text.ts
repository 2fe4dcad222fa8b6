/**
 * Texts with bounds: paths, the strings of `identity`, the names that AWS gives to things, checked before they go into a
 * request, and domain names as an operator writes them, to lower case without the last dot.
 */
import { domainToASCII } from 'node:url';
import { type Reading, textKind } from '../key.ts';
import { parseAddress } from './address.ts';

export function absolutePath(example: string) {
  return textKind(readAbsolutePath, {
    allowed: `an absolute path, such as ${example}`,
    pattern: '^/',
  });
}

const PATH_OCTETS = 1024; // a file name and a suffix still go after it, below Linux's 4,096

function readAbsolutePath(text: string): Reading<string> {
  if (text.includes('\0')) return { message: 'a path with a NUL octet' };
  if (!text.startsWith('/')) return { message: 'not an absolute path' };
  if (new TextEncoder().encode(text).length > PATH_OCTETS)
    return { message: `longer than ${PATH_OCTETS} octets` };
  return { value: text.length > 1 ? text.replace(/\/+$/, '') || '/' : text };
}

/** What fits one character-string of a TXT record: RFC 1035 section 3.3. */
export function characterString(example: string) {
  return textKind(readCharacterString, { allowed: `a text of 1 to 255 octets, such as ${example}` });
}

function readCharacterString(text: string): Reading<string> {
  const octets = new TextEncoder().encode(text).length;
  if (octets === 0) return { message: 'an empty text' };
  return octets <= 255 ? { value: text } : { message: `${octets} octets, more than 255` };
}

/** A line that another check takes apart. */
export function line(allowed: string) {
  return textKind(
    (text): Reading<string> => {
      if (text.trim() === '') return { message: 'an empty text' };
      return text.length <= 4096 ? { value: text } : { message: 'longer than 4096 characters' };
    },
    { allowed },
  );
}

export function clusterName() {
  const allowed = 'the name of an EKS cluster: up to 100 letters, digits, "-" and "_", such as my-cluster';
  // No "*" and no "?": the name goes into a filter of EC2, where they are wildcards.
  return textKind(
    (text) => matching(text, /^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$/, 'not a name of an EKS cluster'),
    {
      allowed,
      pattern: '^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$',
    },
  );
}

export function regionName() {
  return textKind(readRegion, {
    allowed: 'an AWS Region, such as us-west-2',
    pattern: '^[a-z]{2,8}(-[a-z]{1,12})+-[0-9]{1,2}$',
  });
}

function readRegion(text: string): Reading<string> {
  if (/^[a-z]{2,8}(-[a-z]{1,12})+-[0-9]{1,2}$/.test(text)) return { value: text };
  const zone = /^([a-z]{2,8}(?:-[a-z]{1,12})+-[0-9]{1,2})(?:[a-z]|-.+)$/.exec(text);
  if (zone !== null) return { message: 'an availability zone, not a Region', fix: `write ${zone[1]}` };
  if (text !== text.toLowerCase())
    return { message: 'not an AWS Region', fix: `write ${text.toLowerCase()}` };
  return { message: 'not an AWS Region' };
}

export function vpcId() {
  return textKind((text) => matching(text, /^vpc-(?:[0-9a-f]{8}|[0-9a-f]{17})$/, 'not the ID of a VPC'), {
    allowed: 'the ID of a VPC, such as vpc-0a1b2c3d4e5f60718',
    pattern: '^vpc-([0-9a-f]{8}|[0-9a-f]{17})$',
  });
}

export function hostedZoneId() {
  return textKind(readHostedZoneId, {
    allowed: 'the ID of a hosted zone, such as Z0123456789ABCDEFGHIJ',
    pattern: '^Z[0-9A-Z]{1,31}$',
  });
}

function readHostedZoneId(text: string): Reading<string> {
  const bare = text.replace(/^\/?hostedzone\//, '');
  const reading = matching(bare, /^Z[0-9A-Z]{1,31}$/, 'not the ID of a hosted zone');
  if (bare === text || !('value' in reading)) return reading;
  return { message: 'more than the ID of a hosted zone', fix: `write ${bare}` };
}

export function profileName() {
  return textKind((text) => matching(text, /^[^\s[\]][^\p{Cc}[\]]{0,127}$/u, 'not the name of a profile'), {
    allowed: 'the name of a profile in the AWS configuration files, such as outpost-dns',
  });
}

function matching(text: string, pattern: RegExp, message: string): Reading<string> {
  return pattern.test(text) ? { value: text } : { message };
}

export function domainName(example: string) {
  return textKind(readDomainName, { allowed: `a domain name, such as ${example}` });
}

const LABEL_OCTETS = 63; // RFC 1035 section 2.3.4
const NAME_OCTETS = 255; // RFC 1035 section 2.3.4, with a length octet before each label and the root after the last

export function readDomainName(text: string): Reading<string> {
  const isAddress = parseAddress(text.replace(/\.$/, '')) !== undefined;
  return isAddress ? { message: 'an address, not a name' } : readName(text);
}

/** As `readDomainName`, for names relative to another: below in-addr.arpa they can look like an address. */
export function readName(text: string): Reading<string> {
  const name = text.toLowerCase().replace(/\.$/, '');
  if (name === '')
    return { message: text === '' ? 'an empty name' : 'the root of all names, not one of them' };
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
  if (label === '') return 'an empty label: two dots in a row, or one in front';
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
  const ascii = domainToASCII(name); // RFC 5890: what is in the DNS is the A-label
  if (ascii === '' || ascii === name) return { message: 'a name with a space or a control character' };
  return { message: 'not in ASCII', fix: `write ${ascii}` };
}
