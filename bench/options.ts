/** The bench's command line. */
import { parseArgs } from 'node:util';
import { ROWS, type RowName } from './rows.ts';

export const PEERS = [
  'unbound',
  'dnsmasq',
  'bind',
  'knot-resolver',
  'pdns-recursor',
  'dnsdist',
  'floor',
] as const;
export type PeerName = (typeof PEERS)[number];
const USUAL_PEERS: readonly PeerName[] = ['unbound', 'dnsmasq', 'floor'];

export const LISTENERS = ['auto', 'batched', 'plain'] as const;
export type Listener = (typeof LISTENERS)[number];

export interface BenchOptions {
  readonly rounds: number;
  /** Of load per round and server. */
  readonly seconds: number;
  /** Of load before the first round, once per row and server. */
  readonly warmupSeconds: number;
  /** Of load of each server in the row `flood`, once. */
  readonly minutes: number;
  readonly peers: readonly PeerName[];
  readonly rows: readonly RowName[];
  /** The output of `npm run build`, instead of the source. */
  readonly bundled: boolean;
  /** Another tree of outpost-dns, to be a peer of this one. */
  readonly against: string | undefined;
  /** The UDP listener of outpost-dns. */
  readonly listener: Listener;
  readonly serverCore: number;
  readonly loadCore: number;
  /** The first of 40 ports in use, on 127.0.0.1. */
  readonly firstPort: number;
  readonly jsonFile: string | undefined;
  /** Keep a CPU profile of outpost-dns here, per row. */
  readonly profileDirectory: string | undefined;
}

export const USAGE = `usage: npm run bench -- [options]

  --rounds N          alternating rounds per row, 5 or more for figures to show (default 5)
  --seconds N         seconds of load per round and server (default 3)
  --warmup N          seconds of load before the first round (default 2)
  --minutes N         minutes of load in the row flood, 10 or more for figures to show (default 1)
  --peers LIST        of ${PEERS.join(', ')}; or all, or none (default ${USUAL_PEERS.join(',')})
  --only LIST         rows: ${ROWS.map(({ name }) => name).join(', ')} (default: all of them)
  --only restart      queries lost in restarts under systemd, in minutes: as root, with debootstrap and systemd-container, and without other rows
  --bundled           measure what npm run build made, instead of the source
  --against DIRECTORY another tree of outpost-dns as one more peer, such as a git worktree of an older commit
  --listener WORD     UDP listener of outpost-dns: ${LISTENERS.join(', ')} (default auto)
  --cores SERVER,LOAD cores to pin to (default 1,0)
  --first-port N      first of 40 ports on 127.0.0.1 (default 5400)
  --json FILE         write all samples there
  --profile DIRECTORY write a CPU profile of outpost-dns per row there (its figures then hold the profiler too)
`;

export type ParsedOptions =
  | { readonly kind: 'options'; readonly options: BenchOptions }
  | { readonly kind: 'help' }
  /** The row `restart`, which has a machine and a table of its own. */
  | { readonly kind: 'restart' }
  | { readonly kind: 'wrong'; readonly problem: string };

export function parseOptions(args: readonly string[]): ParsedOptions {
  try {
    const { values } = parseArgs({ args: [...args], options: DECLARED, allowPositionals: false });
    if (values.help === true) return { kind: 'help' };
    if (values.only === 'restart') return { kind: 'restart' };
    const [serverCore, loadCore] = cores(values.cores);
    const options = {
      rounds: count('rounds', values.rounds),
      seconds: count('seconds', values.seconds),
      warmupSeconds: count('warmup', values.warmup),
      minutes: count('minutes', values.minutes),
      peers: peers(values.peers),
      rows: rows(values.only),
      bundled: values.bundled,
      against: values.against,
      listener: oneOf('listener', values.listener, LISTENERS),
      serverCore,
      loadCore,
      firstPort: count('first-port', values['first-port']),
      jsonFile: values.json,
      profileDirectory: values.profile,
    };
    return { kind: 'options', options };
  } catch (error) {
    return { kind: 'wrong', problem: error instanceof Error ? error.message : String(error) };
  }
}

const DECLARED = {
  rounds: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '3' },
  warmup: { type: 'string', default: '2' },
  minutes: { type: 'string', default: '1' },
  peers: { type: 'string', default: USUAL_PEERS.join(',') },
  only: { type: 'string', default: ROWS.map(({ name }) => name).join(',') },
  bundled: { type: 'boolean', default: false },
  against: { type: 'string' },
  listener: { type: 'string', default: 'auto' },
  cores: { type: 'string', default: '1,0' },
  'first-port': { type: 'string', default: '5400' },
  json: { type: 'string' },
  profile: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

function count(name: string, text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > 65_000)
    throw new Error(`--${name} "${text}": a whole number from 1 to 65000 is needed`);
  return number;
}

function peers(text: string): readonly PeerName[] {
  if (text === 'all') return PEERS;
  return text === 'none' ? [] : words('peers', text, PEERS);
}

function rows(text: string): readonly RowName[] {
  return words(
    'only',
    text,
    ROWS.map(({ name }) => name),
  );
}

function words<Word extends string>(option: string, text: string, known: readonly Word[]): Word[] {
  const wanted = text.split(',').map((word) => oneOf(option, word.trim(), known));
  return known.filter((word) => wanted.includes(word));
}

function oneOf<Word extends string>(option: string, text: string, known: readonly Word[]): Word {
  const found = known.find((word) => word === text);
  if (found === undefined) throw new Error(`--${option} "${text}": one of ${known.join(', ')} is needed`);
  return found;
}

function cores(text: string): [number, number] {
  const match = /^(\d{1,4}),(\d{1,4})$/.exec(text);
  if (match === null || match[1] === match[2])
    throw new Error(`--cores "${text}": two different cores are needed, such as 1,0`);
  return [Number(match[1]), Number(match[2])];
}
