/** The output of dig as data. */
import { type Command, must } from './commands.ts';

export interface DigRecord {
  readonly name: string;
  readonly ttlSeconds: number;
  readonly type: string;
  readonly data: string;
}

export interface DigReply {
  readonly opcode: string;
  readonly status: string;
  readonly flags: readonly string[];
  /** Absent: no OPT in the reply. */
  readonly edns?: {
    readonly version: number;
    readonly flags: readonly string[];
    readonly sizeOctets: number;
    readonly extendedErrors: readonly number[];
  };
  readonly question: string;
  readonly answer: readonly DigRecord[];
  readonly authority: readonly DigRecord[];
  readonly sizeOctets: number;
  readonly transport: string;
  readonly queryMs: number;
  /** dig itself said that UDP was cut short and asked again over TCP. */
  readonly wasRetried: boolean;
  readonly text: string;
}

/** Resolves to the last reply that dig shows; throws when there is none, or when dig finds it malformed. */
export async function dig(within: (command: Command) => Command, ...args: string[]): Promise<DigReply> {
  return parseDig(await must(within(['dig', ...args])));
}

export function parseDig(text: string): DigReply {
  if (/malformed|bad packet|extra bytes|ID mismatch|WARNING: .*recursion/i.test(text))
    throw new Error(`dig finds fault with the reply:\n${text}`);
  const field = (pattern: RegExp): string => {
    const found = pattern.exec(text)?.[1];
    if (found === undefined) throw new Error(`dig shows no ${pattern}:\n${text}`);
    return found;
  };
  const edns = /^; EDNS: version: (\d+), flags:([^;]*); udp: (\d+)$/m.exec(text);
  return {
    opcode: field(/opcode: (\w+)/),
    status: field(/status: (\w+)/),
    flags: words(field(/^;; flags:([^;]*);/m)),
    ...(edns === null
      ? {}
      : {
          edns: {
            version: Number(edns[1]),
            flags: words(edns[2] ?? ''),
            sizeOctets: Number(edns[3]),
            extendedErrors: [...text.matchAll(/^; EDE: (\d+)/gm)].map((match) => Number(match[1])),
          },
        }),
    question: /^;; QUESTION SECTION:\n;(\S+)/m.exec(text)?.[1] ?? '',
    answer: section(text, 'ANSWER'),
    authority: section(text, 'AUTHORITY'),
    sizeOctets: Number(field(/MSG SIZE\s+rcvd: (\d+)/)),
    transport: field(/^;; SERVER: .*\((UDP|TCP)\)$/m),
    queryMs: Number(field(/^;; Query time: (\d+) msec$/m)),
    wasRetried: /Truncated, retrying in TCP mode/.test(text),
    text,
  };
}

function section(text: string, name: string): DigRecord[] {
  const lines = new RegExp(`^;; ${name} SECTION:\\n((?:[^;\\n].*\\n)+)`, 'm').exec(text)?.[1] ?? '';
  return lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [owner = '', ttl = '', , type = '', ...data] = line.split(/\s+/);
      return { name: owner, ttlSeconds: Number(ttl), type, data: data.join(' ') };
    });
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}
