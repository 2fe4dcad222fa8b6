/** Asks a running server over its HTTP, with one deadline around everything and a bound on what is taken. */
import { type IncomingMessage, request } from 'node:http';
import { readSocketAddress } from '../config/kinds/address.ts';

export interface AdminAddress {
  readonly host: string;
  readonly port: number;
}

export type AdminAddressReading = AdminAddress | { readonly message: string; readonly mend: string };

const ADMIN_PORT = 9153;

/** `127.0.0.1:9153`, `[::1]:9153`, `10.0.9.53`, `dns-1.site.example:9153`. */
export function readAdminAddress(text: string): AdminAddressReading {
  const reading = readSocketAddress(text, ADMIN_PORT, 1);
  if ('value' in reading) return { host: reading.value.address, port: reading.value.port };
  const named = /^(?<host>(?=.*[a-z])[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::(?<port>\d{1,5}))?$/i.exec(
    text,
  )?.groups;
  const port = Number(named?.['port'] ?? ADMIN_PORT);
  if (named?.['host'] !== undefined && port >= 1 && port <= 65_535) return { host: named['host'], port };
  return {
    message: reading.message,
    mend:
      reading.mend ?? `write host:port or [v6]:port, such as 127.0.0.1:${ADMIN_PORT} or [::1]:${ADMIN_PORT}`,
  };
}

export function socketText({ host, port }: AdminAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export type AdminAnswer =
  | { readonly kind: 'answered'; readonly status: number; readonly body: string }
  /** `detail` is for a person. */
  | { readonly kind: 'failed'; readonly detail: string };

const MAX_BODY_OCTETS = 16 * 1024 * 1024; // some thousands of endpoints

/** GET `path`. Never rejects. */
export async function getFromServer(
  { host, port }: AdminAddress,
  path: string,
  timeoutMs: number,
): Promise<AdminAnswer> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ host, port, path, agent: false, signal }, resolve).on('error', reject).end();
    });
    return { kind: 'answered', status: response.statusCode ?? 0, body: await bodyOf(response) };
  } catch (error) {
    return {
      kind: 'failed',
      detail: signal.aborted ? `no answer within ${timeoutMs / 1000} s` : reasonOf(error),
    };
  }
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    const octets = Buffer.from(chunk);
    length += octets.length;
    if (length > MAX_BODY_OCTETS) throw new Error(`more than ${MAX_BODY_OCTETS} octets`);
    chunks.push(octets);
  }
  return Buffer.concat(chunks).toString('utf8');
}

const REASONS: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'nothing listens there'],
  ['ENOTFOUND', 'the name is not known'],
  ['EAI_AGAIN', 'the name cannot be looked up now'],
  ['ECONNRESET', 'the connection was reset'],
  ['HPE_INVALID_CONSTANT', 'what answers there does not speak HTTP'],
]);

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? String(error.code) : '';
  return REASONS.get(code) ?? (error.message || code);
}
