/** The domain name and the record type that a command line names. A text that cannot be meant is wrong usage, before any server is asked. */
import { isIPv4, isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';
import { InvalidArgumentError } from 'commander';
import { TYPE, typeFromText, typeName } from '../protocol/words/codes.ts';
import { NameError, nameToWire, reverseNameOfIpv4 } from '../protocol/words/name.ts';
import { EXIT, type ExitCode, printFailure } from './subcommand.ts';

export interface Question {
  readonly name: string;
  /** Mnemonic, or `TYPE<n>`. */
  readonly type: string;
}

export function readType(text: string): number {
  const type = typeFromText(text);
  // RFC 6895 section 3.1: TYPE 0 is reserved, and no record has it
  if (type !== undefined && type !== 0) return type;
  throw new InvalidArgumentError(`Not a record type:\n    ${typeFix(text)}`);
}

/** dig and nslookup take the server as an address among the words, and dig takes the type before the name. */
function typeFix(text: string): string {
  const server = text.replace(/^@/, '');
  if (isIPv4(server) || isIPv6(server)) return `"lookup" takes the server to ask as --server ${server}`;
  if (text.includes('.')) return 'the name comes first, then the type; a server to ask goes with --server';
  return 'write a mnemonic such as A, AAAA, TXT, PTR or HTTPS, or TYPE and a number up to 65535';
}

/** The question, or the exit code of wrong usage, which has been explained. `hasType`: whether the command takes a type. */
export function questionOf(nameText: string, type: number = TYPE.A, hasType = true): Question | ExitCode {
  const question = readQuestion(nameText, type, hasType);
  if (!('fix' in question)) return question;
  printFailure(`not a domain name: "${nameText}"`, question.fix);
  return EXIT.usage;
}

/** An IPv4 address stands for its reverse name where PTR is asked for. */
export function readQuestion(
  nameText: string,
  type: number,
  hasType = true,
): Question | { readonly fix: string } {
  const isReverse = type === TYPE.PTR && /^\d{1,3}(?:\.\d{1,3}){3}$/.test(nameText);
  // a dot after a dot is an empty label, and one after a backslash is part of its label
  const name = isReverse ? reverseNameOfIpv4(nameText) : nameText.replace(/(?<=[^.\\])\.$/, '');
  const fix = nameFix(name, hasType ? ' PTR' : '');
  return fix === undefined ? { name, type: typeName(type) } : { fix };
}

/** What to write in place of a text that is no domain name, or one for which no client asks. */
function nameFix(name: string, ptr: string): string | undefined {
  if (name === '') return 'write a name, or . for the root';
  if (isIPv4(name))
    return `write ${reverseNameOfIpv4(name)}${ptr} for its reverse name, or the name that has this address`;
  if (isIPv6(name))
    return `write its reverse name, which ends in ip6.arpa,${ptr && ` and PTR,`} or the name that has this address`;
  const host = hostIn(name);
  if (host !== undefined) return nameFix(host, ptr) ?? `write ${host}`;
  if (/[^\x21-\x7e]/.test(name)) {
    const ascii = domainToASCII(name);
    return ascii === '' ? 'write it without spaces and in ASCII' : (nameFix(ascii, ptr) ?? `write ${ascii}`);
  }
  try {
    nameToWire(name);
    return undefined;
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    if (error.code === 'bad-escape') return String.raw`write an octet as \ and three digits, up to \255`;
    return `${error.code.replaceAll('-', ' ')}: labels have 1 to 63 octets, a whole name up to 253`;
  }
}

/** The host of a URL, such as the `server:` of a kubeconfig, or of a host with its port. */
function hostIn(text: string): string | undefined {
  const bracketed = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(text)?.[1] ?? '';
  if (isIPv6(bracketed)) return bracketed;
  if (!text.includes('://')) return /^([^/:\\]+):\d{1,5}$/.exec(text)?.[1];
  const host = URL.parse(text.replace(/^[^:]*/, 'https'))?.hostname;
  return host && (hostIn(host) ?? host);
}
