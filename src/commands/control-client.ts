/** Commands a running server over its control socket, with one deadline around everything and a bound on what is taken. */
import { type IncomingMessage, request } from 'node:http';
import { controlError } from '../admin/control-route.ts';

export type ControlAnswer =
  | { readonly kind: 'done'; readonly content: unknown }
  /** The server's own words: it understood, and does not do it. */
  | { readonly kind: 'refused'; readonly detail: string; readonly mend: string }
  /** Nobody was reached, or what answered made no sense. */
  | { readonly kind: 'failed'; readonly detail: string; readonly mend: string };

const DEADLINE_MS = 25_000; // a moment more than the server gives a command
const MAX_BODY_OCTETS = 16 * 1024 * 1024;

/** Sends one command. Never rejects. */
export async function callControl(
  socketPath: string,
  method: 'GET' | 'POST',
  route: string,
  body?: unknown,
): Promise<ControlAnswer> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  try {
    const response = await send(socketPath, method, route, body, signal);
    return readAnswer(response.statusCode ?? 0, await bodyOf(response));
  } catch (error) {
    if (signal.aborted) return { kind: 'failed', ...TEXTS.silent };
    return { kind: 'failed', ...explain(error, socketPath) };
  }
}

function send(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = { 'Content-Length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    request({ socketPath, method, path, headers, agent: false, signal }, resolve)
      .on('error', reject)
      .end(text);
  });
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

function readAnswer(status: number, text: string): ControlAnswer {
  const content = parseJson(text);
  if (content === undefined) return { kind: 'failed', ...TEXTS.foreign };
  if (status === 200) return { kind: 'done', content };
  const { data } = controlError.safeParse(content);
  if (data === undefined) return { kind: 'failed', ...TEXTS.foreign };
  return { kind: 'refused', detail: data.error, mend: data.mend };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const NAME_IT = 'name its state directory with --state, or its configuration with --config';
const TEXTS = {
  absent: {
    detail: 'no server answers',
    mend: `is it running? systemctl status outpost-dns; if it runs, its status says why it has no control socket; with another state directory, ${NAME_IT}`,
  },
  denied: {
    detail: 'this user may not command the server',
    mend: 'run the command as its user: sudo -u outpost-dns outpost-dns ...; or as root, or as a member of its group',
  },
  silent: {
    detail: `the server does not answer within ${DEADLINE_MS / 1000} s`,
    mend: 'its log says what it is doing: journalctl -u outpost-dns',
  },
  foreign: {
    detail: 'what answers is no outpost-dns, or one of another version',
    mend: NAME_IT,
  },
} as const;

const CODES: ReadonlyMap<string, keyof typeof TEXTS> = new Map([
  ['ENOENT', 'absent'],
  ['ECONNREFUSED', 'absent'],
  ['ENOTDIR', 'absent'],
  ['EINVAL', 'absent'], // a path that no socket can have
  ['EACCES', 'denied'],
  ['EPERM', 'denied'],
  ['HPE_INVALID_CONSTANT', 'foreign'],
]);

function explain(error: unknown, path: string): { readonly detail: string; readonly mend: string } {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const known = CODES.get(code);
  const reason = error instanceof Error ? error.message || code : String(error);
  const { detail, mend } = known === undefined ? { detail: reason, mend: TEXTS.silent.mend } : TEXTS[known];
  return { detail: `${detail}: control socket "${path}"${code === '' ? '' : ` (${code})`}`, mend };
}
