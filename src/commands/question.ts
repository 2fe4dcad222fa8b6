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
  const form = 'write a mnemonic such as A, AAAA, TXT, PTR or HTTPS, or TYPE and a number up to 65535';
  throw new InvalidArgumentError(`Not a record type:\n    ${form}`);
}

/** The question, or the exit code of wrong usage, which has been explained. */
export function questionOf(nameText: string, type: number = TYPE.A): Question | ExitCode {
  const question = readQuestion(nameText, type);
  if (!('fix' in question)) return question;
  printFailure(`not a domain name: "${nameText}"`, question.fix);
  return EXIT.usage;
}

/** An IPv4 address stands for its reverse name where PTR is asked for. */
export function readQuestion(nameText: string, type: number): Question | { readonly fix: string } {
  const isReverse = type === TYPE.PTR && /^\d{1,3}(?:\.\d{1,3}){3}$/.test(nameText);
  const name = isReverse ? reverseNameOfIpv4(nameText) : nameText.replace(/(?<=.)\.$/, '');
  const fix = nameFix(name);
  return fix === undefined ? { name, type: typeName(type) } : { fix };
}

/** What to write in place of a text that is no domain name, or one for which no client asks. */
function nameFix(name: string): string | undefined {
  if (name === '') return 'write a name, or . for the root';
  if (isIPv4(name))
    return `write ${reverseNameOfIpv4(name)} PTR for its name, or the name that has this address`;
  if (isIPv6(name)) return 'write its name below ip6.arpa and PTR, or the name that has this address';
  const host = URL.parse(name.includes('://') ? name : `https://${name}`)?.hostname;
  // the `server:` of a kubeconfig, or a host with its port
  if (host && (name.includes('://') || /^[^/:]+:\d{1,5}$/.test(name))) return `write ${host}`;
  if (/[^\x21-\x7e]/.test(name)) {
    const ascii = domainToASCII(name);
    return ascii === '' ? 'write it without spaces and in ASCII' : `write ${ascii}`;
  }
  try {
    nameToWire(name);
    return undefined;
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    return `${error.code.replaceAll('-', ' ')}: labels have 1 to 63 octets, a whole name up to 253`;
  }
}
