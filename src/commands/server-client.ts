/**
 * Speaks with a running server: its HTTP pages, which only tell, and its control socket, which also changes things. Each
 * call has one deadline around everything and a bound on the octets that it takes, and never rejects.
 */
import { type IncomingMessage, type RequestOptions, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { controlError } from '../admin/control-route.ts';
import { controlPath } from '../admin/control-server.ts';
import type { PanelsBody } from '../admin/pages.ts';
import { readSocketAddress, type SocketAddress } from '../config/kinds/address.ts';
import { attemptRead, flag, list, number, object, type Reader, text, word } from '../runtime/forms.ts';
import { systemCode, systemText } from '../runtime/system-errors.ts';

const ADMIN_PORT = 9153;

/** `127.0.0.1:9153`, `[::1]:9153`, `10.0.9.53`, `dns-1.site.example:9153`; or why it is no address, and how to write one. */
export function readHttpAddress(
  text: string,
): SocketAddress | { readonly message: string; readonly fix: string } {
  const reading = readSocketAddress(text, ADMIN_PORT, 1);
  if ('value' in reading) return reading.value;
  const named = /^(?<host>(?=.*[a-z])[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::(?<port>\d{1,5}))?$/i.exec(
    text,
  )?.groups;
  const port = Number(named?.['port'] ?? ADMIN_PORT);
  if (named?.['host'] !== undefined && port >= 1 && port <= 65_535) return { address: named['host'], port };
  const form = `write host:port or [v6]:port, such as 127.0.0.1:${ADMIN_PORT} or [::1]:${ADMIN_PORT}`;
  return { message: reading.message, fix: reading.fix ?? form };
}

/** Why a call failed, and how to fix it; both for a person. */
export interface CallFailure {
  readonly kind: 'failed';
  readonly detail: string;
  readonly fix: string;
}

export type PageAnswer =
  | { readonly kind: 'answered'; readonly status: number; readonly body: string }
  | CallFailure;

/** GET `path` from the server's HTTP. */
export async function getPage(
  { address: host, port }: SocketAddress,
  path: string,
  timeoutMs: number,
): Promise<PageAnswer> {
  return call({ host, port, path }, '', timeoutMs, 'name another address with --admin');
}

/** The fields of `/status` that the commands themselves read. */
const statusFacts = object({
  server: object({ ready: flag, listening: list(object({ address: text })) }),
  endpoints: list(object({ endpoint: v.optional(text), addresses: list(v.unknown()) })),
  state: object({ directory: text }),
});

/** `whole`: the JSON as it came, with fields that a later version may have added. */
export type Reading<Facts> =
  | { readonly kind: 'read'; readonly facts: Facts; readonly whole: unknown }
  | CallFailure;

/** The status as JSON. */
export function getStatus(
  address: SocketAddress,
  timeoutMs: number,
): Promise<Reading<v.InferOutput<typeof statusFacts>>> {
  return readPage(address, '/status', timeoutMs, statusFacts);
}

const toned = object({
  text: text,
  tone: v.fallback(word('plain', 'good', 'doubtful', 'bad'), 'plain'),
});
const cell = v.union([text, number, toned, list(v.union([text, toned]))]);
const plot = object({
  label: text,
  span: text,
  ends: v.strictTuple([text, text]),
  points: list(v.nullable(number)),
  top: number,
  latest: text,
  range: text,
});
const panelsBody: Reader<PanelsBody> = object({
  ready: flag,
  panels: list(
    object({
      title: v.optional(text),
      badge: v.optional(toned),
      about: v.optional(text),
      notes: v.optional(list(cell)),
      facts: v.optional(list(v.strictTuple([text, cell]))),
      head: v.optional(list(text)),
      rows: v.optional(list(list(cell))),
      rest: v.optional(text),
      plots: v.optional(list(plot)),
    }),
  ),
});

/** The status as a person reads it. */
export function getPanels(address: SocketAddress, timeoutMs: number): Promise<Reading<PanelsBody>> {
  return readPage(address, '/panels', timeoutMs, panelsBody);
}

const WRONG_SERVER = 'is it the address of admin.listen, and a server of this version? name it with --admin';

async function readPage<Facts>(
  address: SocketAddress,
  path: string,
  timeoutMs: number,
  reader: Reader<Facts>,
): Promise<Reading<Facts>> {
  const answer = await getPage(address, path, timeoutMs);
  if (answer.kind === 'failed') return answer;
  if (answer.status !== 200) {
    const fix = answer.status === 500 ? 'its log says why: journalctl -u outpost-dns' : WRONG_SERVER;
    return failed(`it answers with HTTP status ${answer.status}`, fix);
  }
  const whole = parseJson(answer.body);
  const read = attemptRead(reader, whole);
  if (read.kind === 'ok') return { kind: 'read', facts: read.content, whole };
  const place = read.place === '' ? '' : ` at "${read.place}"`;
  return failed(`the answer is not a status report${place}`, WRONG_SERVER);
}

export type CommandAnswer =
  | { readonly kind: 'done'; readonly content: unknown }
  /** The server understood the command and does not do it; the texts are its own. */
  | { readonly kind: 'refused'; readonly detail: string; readonly fix: string }
  | CallFailure;

const COMMAND_TIMEOUT_MS = 25_000; // a moment more than the server gives a command
const NAME_IT = 'name its state directory with --state, or its configuration with --config';

/** Sends one command to the control socket of the server that keeps its state in this directory. */
export async function sendCommand(
  stateDirectory: string,
  method: 'GET' | 'POST',
  route: string,
  body?: unknown,
): Promise<CommandAnswer> {
  const socketPath = controlPath(stateDirectory);
  const text = body === undefined ? '' : JSON.stringify(body);
  const answer = await call({ socketPath, method, path: route }, text, COMMAND_TIMEOUT_MS, NAME_IT);
  if (answer.kind === 'failed')
    return { ...answer, detail: `control socket "${socketPath}": ${answer.detail}` };
  const content = parseJson(answer.body);
  if (content !== undefined && answer.status === 200) return { kind: 'done', content };
  const refusal = attemptRead(controlError, content);
  if (refusal.kind === 'mismatch')
    return failed('an answer from no outpost-dns, or from one of another version', NAME_IT);
  const { error, fix, mend } = refusal.content;
  return { kind: 'refused', detail: error, fix: fix ?? mend };
}

function failed(detail: string, fix: string): CallFailure {
  return { kind: 'failed', detail, fix };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * A server opens its control socket and its HTTP a third of a second after its first answer (daemon.ts), and a script may give a
 * command as soon as the server is ready.
 */
const STARTS_MS = 500;
const NOT_YET: ReadonlySet<unknown> = new Set(['ECONNREFUSED', 'ENOENT']);

const MAX_BODY_OCTETS = 16 * 1024 * 1024; // some thousands of endpoints

async function call(
  options: RequestOptions,
  text: string,
  timeoutMs: number,
  another: string,
): Promise<PageAnswer> {
  const signal = AbortSignal.timeout(timeoutMs);
  const headers = text === '' ? {} : { 'Content-Length': Buffer.byteLength(text) };
  const ask = () =>
    new Promise<IncomingMessage>((resolve, reject) => {
      request({ ...options, headers, agent: false, signal }, resolve)
        .on('error', reject)
        .end(text);
    });
  try {
    const response = await ask().catch(async (error: unknown) => {
      if (!NOT_YET.has(systemCode(error))) throw error;
      await sleep(STARTS_MS, undefined, { signal });
      return ask();
    });
    return { kind: 'answered', status: response.statusCode ?? 0, body: await bodyOf(response) };
  } catch (error) {
    return signal.aborted
      ? failed(`no answer within ${timeoutMs / 1000} s`, SILENT)
      : failureOf(error, another);
  }
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    const octets = Buffer.from(chunk);
    length += octets.length;
    if (length > MAX_BODY_OCTETS) throw new Error(`an answer of more than ${MAX_BODY_OCTETS} octets`);
    chunks.push(octets);
  }
  return Buffer.concat(chunks).toString('utf8');
}

const SILENT = 'its log says what it is doing: journalctl -u outpost-dns';
const NOT_RUNNING =
  'is it running? systemctl status outpost-dns; "outpost-dns export" shows what the state file holds';
const DENIED =
  'run the command as its user: sudo -u outpost-dns outpost-dns ...; or as root, or as a member of its group';

/** The meaning of the error code of a call: `absent` where no server listens, `denied` where one does. */
const CODES: ReadonlyMap<string, readonly [detail: string, kind: 'absent' | 'denied' | 'foreign']> = new Map([
  ['ECONNREFUSED', ['nothing listens there', 'absent']],
  ['ENOENT', ['nothing listens there', 'absent']],
  ['ENOTDIR', ['nothing listens there', 'absent']],
  ['EINVAL', ['its path is longer than that of a socket may be: take a shorter state.directory', 'absent']],
  ['ENOTFOUND', ['the name is not known', 'absent']],
  ['EAI_AGAIN', ['the name cannot be resolved now', 'absent']],
  ['ENETUNREACH', ['no route to that address', 'absent']],
  ['EHOSTUNREACH', ['no route to that address', 'absent']],
  ['ECONNRESET', ['the connection was reset', 'absent']],
  ['EACCES', ['this user may not command the server', 'denied']],
  ['EPERM', ['this user may not command the server', 'denied']],
  [
    'HPE_INVALID_CONSTANT',
    ['an answer that is not HTTP: no outpost-dns, or one of another version', 'foreign'],
  ],
]);

/** `another`: the text that tells a person how to name another server. */
function failureOf(error: unknown, another: string): CallFailure {
  const code = systemCode(error) ?? '';
  const [known, kind = 'absent'] = CODES.get(code) ?? [];
  const detail = known ?? (error instanceof Error ? systemText(error) || code : String(error));
  const fixes = { absent: `${NOT_RUNNING}; ${another}`, denied: DENIED, foreign: another };
  return failed(known === undefined || code.startsWith('HPE') ? detail : `${detail} (${code})`, fixes[kind]);
}
