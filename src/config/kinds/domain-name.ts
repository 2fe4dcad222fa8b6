/** Domain names as an operator writes them: letters, digits, hyphens and underscores, handed on in lower case without the last dot. */
import { domainToASCII } from 'node:url';
import { type Reading, textKind } from '../key.ts';
import { parseAddress } from './address.ts';

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

function hostOf(url: string): { mend?: string } {
  const host = URL.parse(url)?.hostname;
  return host ? { mend: `write ${host}` } : {};
}

function nonAscii(name: string): Reading<never> {
  const ascii = domainToASCII(name); // RFC 5890: what is in the DNS is the A-label
  if (ascii === '' || ascii === name) return { message: 'a name with a space or a control character' };
  return { message: 'not in ASCII', mend: `write ${ascii}` };
}

/** Whether the first name is the second or lies below it; both in canonical form. */
export function isAtOrBelow(name: string, apex: string): boolean {
  return name === apex || name.endsWith(`.${apex}`);
}
