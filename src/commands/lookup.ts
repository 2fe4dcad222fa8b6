/** `outpost-dns lookup NAME [TYPE]`: asks a server and shows the answer and where it came from. */
import { type Command, InvalidArgumentError } from 'commander';
import { Packet } from 'dns2';
import { readSocketAddress, type SocketAddress } from '../config/kinds/address.ts';
import { EDNS_UDP_OCTETS } from '../protocol/wire/message.ts';
import { socketText } from '../protocol/words/address-text.ts';
import { CLASS, RCODE, rcodeName, TYPE, typeFromText } from '../protocol/words/codes.ts';
import { type ExtendedError, exchange, type LookupReply, readReply } from './dns-exchange.ts';
import { type Question, questionOf, readType } from './question.ts';
import { findPlace } from './running-server.ts';
import {
  columns,
  EXIT,
  type ExitCode,
  OPTION,
  type Paint,
  paintForTerminal,
  print,
  printable,
  printFailure,
  type Run,
} from './subcommand.ts';

interface LookupOptions {
  readonly server?: SocketAddress;
  readonly config?: string;
  readonly json?: true;
}

export function define(command: Command, { ended }: Run): void {
  command
    .argument('<name>', 'domain name')
    .argument('[type]', 'record type (default: A)', readType)
    .addOption(
      command
        .createOption('-s, --server <address>', "server to ask, instead of the configuration's listen.dns")
        .argParser(readServer)
        .conflicts('config'),
    )
    .option(...OPTION.config)
    .option(...OPTION.json)
    .action(async (name: string, type: number | undefined, options: LookupOptions) =>
      ended(await lookup(name, type, options)),
    );
}

function readServer(text: string): SocketAddress {
  const reading = readSocketAddress(text, 53, 1);
  if ('value' in reading) return reading.value;
  const fix = reading.fix ?? 'write host:port or [v6]:port, such as 127.0.0.1:53 or [::1]:53';
  throw new InvalidArgumentError(`${reading.message}\n    ${fix}`);
}

const TIMEOUT_MS = 5_000;
const ATTEMPTS = 2;

async function lookup(name: string, type: number | undefined, options: LookupOptions): Promise<ExitCode> {
  const question = questionOf(name, type);
  if (typeof question === 'number') return question;
  if (question.name.includes('\\')) {
    printFailure('names with escaped octets cannot be asked for here', 'use dig');
    return EXIT.usage;
  }
  const place = await findPlace('dns', options.server, options.config);
  if (typeof place === 'number') return place;
  const server = socketText(place);
  const query = composeQuestion(question);
  const exchanged = await exchange({ server: place, query, timeoutMs: TIMEOUT_MS, attempts: ATTEMPTS });
  if (exchanged.kind === 'failed') {
    const fix = 'is the server running? "outpost-dns status" tells; name another one with --server';
    printFailure(`cannot ask "${server}": ${exchanged.detail}`, fix);
    return EXIT.finding;
  }
  const reply = readReply(exchanged.octets);
  if ('fault' in reply) {
    printFailure(
      `cannot read the reply of "${server}": ${reply.fault}`,
      'another program than a DNS server answers there',
    );
    return EXIT.finding;
  }
  const { transport } = exchanged;
  const elapsedMs = Math.round(exchanged.elapsedMs * 10) / 10;
  const shown = { server, transport, elapsedMs, ...question, ...reply };
  print(options.json ? JSON.stringify(shown, null, 2) : replyText(shown, paintForTerminal));
  return ANSWERS.includes(reply.rcode) ? EXIT.well : EXIT.finding;
}

/** NXDOMAIN is an answer too. */
const ANSWERS: readonly string[] = [RCODE.NOERROR, RCODE.NXDOMAIN].map(rcodeName);

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
