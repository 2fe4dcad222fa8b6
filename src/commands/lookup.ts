/** `outpost-dns lookup NAME [TYPE]`: asks a server and shows the answer and where it came from. */
import { domainToASCII } from 'node:url';
import { Packet } from 'dns2';
import { readSocketAddress } from '../config/kinds/address.ts';
import { EDNS_UDP_OCTETS } from '../protocol/wire/header.ts';
import { CLASS } from '../protocol/words/classes.ts';
import { NameError, nameToWire, reverseNameOfIpv4 } from '../protocol/words/name.ts';
import { RCODE, rcodeName } from '../protocol/words/rcodes.ts';
import { TYPE, typeFromText, typeName } from '../protocol/words/types.ts';
import { exchange } from './dns-exchange.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { type ExtendedError, type LookupReply, readReply } from './lookup-reply.ts';
import { findServer, reachable } from './running-server.ts';
import { socketText } from './status-client.ts';
import { columns, type Paint, paintForTerminal, printable } from './terminal-text.ts';

export interface LookupOptions {
  /** Address of the server; without it, the one of the configuration. */
  readonly server?: string;
  readonly config?: string;
  readonly json?: true;
}

const DEADLINE_MS = 5_000;
const ATTEMPTS = 2;

export async function lookup(nameText: string, typeText: string, options: LookupOptions): Promise<ExitCode> {
  const question = readQuestion(nameText, typeText);
  if ('message' in question) return explain(question, EXIT.usage);
  const server = options.server ?? (await configuredServer(options.config));
  if (server === undefined) return EXIT.usage;
  const reading = readSocketAddress(server, 53, 1);
  if (!('value' in reading)) {
    const mend = reading.mend ?? 'write host:port or [v6]:port, such as 127.0.0.1:53 or [::1]:53';
    return explain({ message: `not a server: "${server}": ${reading.message}`, mend }, EXIT.usage);
  }
  const exchanged = await exchange({
    server: reading.value,
    query: composeQuestion(question),
    deadlineMs: DEADLINE_MS,
    attempts: ATTEMPTS,
  });
  if (exchanged.kind === 'failed') {
    const message = `cannot ask "${server}": ${exchanged.detail}`;
    return explain(
      { message, mend: 'is the server running? see outpost-dns status, and name another with --server' },
      EXIT.finding,
    );
  }
  const reply = readReply(exchanged.octets);
  if ('fault' in reply) {
    const message = `cannot read the reply of "${server}": ${reply.fault}`;
    return explain({ message, mend: 'something that does not speak DNS answers there' }, EXIT.finding);
  }
  const { transport, elapsedMs } = exchanged;
  const shown = {
    server,
    transport,
    elapsedMs: Math.round(elapsedMs * 10) / 10,
    ...question,
    ...reply,
  };
  const text = options.json ? JSON.stringify(shown, null, 2) : replyText(shown, paintForTerminal).join('\n');
  process.stdout.write(`${text}\n`);
  return ANSWERS.includes(reply.rcode) ? EXIT.well : EXIT.finding;
}

/** The first address that the server of the configuration listens on; `undefined` after an explanation. */
async function configuredServer(file: string | undefined): Promise<string | undefined> {
  const found = await findServer(file);
  if (found.kind === 'faulty' && file !== undefined) {
    process.stderr.write(`${found.error.message}\n`);
    return undefined;
  }
  const [first] = found.kind === 'found' ? found.config.listen.dns : [];
  return first === undefined ? '127.0.0.1:53' : socketText(reachable(first));
}

/** That a name does not exist is an answer too. */
const ANSWERS: readonly string[] = [RCODE.NOERROR, RCODE.NXDOMAIN].map(rcodeName);

function explain({ message, mend }: Misuse, code: ExitCode): ExitCode {
  process.stderr.write(`outpost-dns: ${printable(message)}\n    ${printable(mend)}\n`);
  return code;
}

interface Question {
  readonly name: string;
  /** Mnemonic, or `TYPE<n>`. */
  readonly type: string;
}

interface Misuse {
  readonly message: string;
  readonly mend: string;
}

/** An IPv4 address stands for its reverse name where PTR is asked for. */
export function readQuestion(nameText: string, typeText: string): Question | Misuse {
  const type = typeFromText(typeText);
  // RFC 6895 section 3.1: TYPE 0 is reserved, and no record has it
  if (type === undefined || type === 0) {
    const mend = 'write a mnemonic such as A, AAAA, TXT, PTR or HTTPS, or TYPE and a number up to 65535';
    return { message: `unknown record type "${typeText}"`, mend };
  }
  const isReverse = type === TYPE.PTR && /^\d{1,3}(?:\.\d{1,3}){3}$/.test(nameText);
  const name = isReverse ? reverseNameOfIpv4(nameText) : nameText.replace(/(?<=.)\.$/, '');
  const misuse = nameMisuse(name);
  return misuse === undefined
    ? { name, type: typeName(type) }
    : { message: `not a domain name: "${nameText}"`, mend: misuse };
}

/** The mend, where the name is none that can be asked for. */
function nameMisuse(name: string): string | undefined {
  if (name === '') return 'write a name, or . for the root';
  if (/[^\x21-\x7e]/.test(name)) {
    const ascii = domainToASCII(name);
    return ascii === '' ? 'write it without spaces and in ASCII' : `write ${ascii}`;
  }
  if (name.includes('\\')) return 'names with escaped octets cannot be asked for here: use dig';
  try {
    nameToWire(name);
    return undefined;
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    return `${error.code.replaceAll('-', ' ')}: labels have 1 to 63 octets, a whole name up to 253`;
  }
}

function composeQuestion({ name, type }: Question): Uint8Array {
  const packet = new Packet();
  packet.header.rd = 1;
  packet.questions = [new Packet.Question(name === '.' ? '' : name, typeFromText(type) ?? TYPE.A, CLASS.IN)];
  packet.additionals = [Packet.Resource.EDNS([], { udpPayloadSize: EDNS_UDP_OCTETS })];
  return packet.toBuffer();
}

interface Shown extends Question, LookupReply {
  readonly server: string;
  readonly transport: 'udp' | 'tcp';
  readonly elapsedMs: number;
}

export function replyText(reply: Shown, paint: Paint): string[] {
  const { name, type, rcode, flags, from, server, transport, elapsedMs } = reply;
  const isAnswer = ANSWERS.includes(rcode);
  const facts = [
    ['code:', paint(isAnswer ? 'green' : 'red', rcode)],
    ['flags:', flags.join(' ')],
    ['from:', from],
    ...reply.extendedErrors.map((one) => ['error:', extendedErrorText(one)]),
    ['server:', `${server} over ${transport.toUpperCase()}, ${elapsedMs} ms`],
  ];
  return [paint('bold', `${printable(name)} ${type}`), ...recordLines(reply, paint), ...columns(facts, 2)];
}

function extendedErrorText({ code, meaning, text }: ExtendedError): string {
  const named = meaning.endsWith(` ${code}`) ? meaning : `${meaning} (${code})`;
  return text === '' ? named : `${named}: ${printable(text)}`;
}

function recordLines({ records, rcode }: LookupReply, paint: Paint): string[] {
  if (records.length === 0) return rcode === 'NOERROR' ? [paint('dim', '  no records')] : [];
  const rows = records.map(({ section, name, ttlSeconds, type, data }) => [
    printable(name),
    String(ttlSeconds),
    type,
    printable(data) + (section === 'answer' ? '' : paint('dim', `  (${section})`)),
  ]);
  return columns(rows, 2);
}
