/** Findings about DNS on this host: which program holds an address of `listen.dns`, and whether the host's resolver asks this server. */

import { readdir, readFile, readlink } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import ipaddr from 'ipaddr.js';
import { readSocketAddress, type SocketAddress } from '../../config/kinds/address.ts';
import { composeOwnQuery } from '../../protocol/wire/query.ts';
import { isWildcard, socketText } from '../../protocol/words/address-text.ts';
import { TYPE } from '../../protocol/words/codes.ts';
import { nameToWire } from '../../protocol/words/name.ts';
import { exchange, readReply } from '../dns-exchange.ts';
import { type Finding, problem, warning } from './finding.ts';
import type { Site } from './site.ts';

export async function portFindings(
  { config, server }: Pick<Site, 'config' | 'server'>,
  find = portHolders,
): Promise<readonly Finding[]> {
  const ports = new Map(
    config.listen.dns.map(({ port }) => [port, config.listen.dns.filter((one) => one.port === port)]),
  );
  const found = await Promise.all(
    [...ports].map(async ([port, listen]) => {
      const places = server?.server.listening.map(({ address }) => address);
      return holderFindings(listen, withoutOwn(await find(port), port, places));
    }),
  );
  return found.flat();
}

/** Leaves out the sockets of the running server, whose owner another user does not see, and the stub beside which it runs. */
function withoutOwn(
  holders: readonly Holder[],
  port: number,
  places: readonly string[] | undefined,
): readonly Holder[] {
  if (places === undefined) return holders;
  return holders.filter(({ address, program }) => {
    if (program !== undefined) return !isStub(program.name);
    return !places.includes(socketText({ address, port }));
  });
}

function isStub(name: string): boolean {
  return name.startsWith('systemd-resolve');
}

/** One finding for each program. */
export function holderFindings(
  listen: readonly SocketAddress[],
  holders: readonly Holder[],
): readonly Finding[] {
  const others = holders.filter(
    (holder) => !isOurs(holder) && listen.some((own) => meets(own.address, holder.address)),
  );
  const byProgram = Map.groupBy(others, ({ program }) => program?.pid);
  return [...byProgram.values()].flatMap((held) => {
    const [first] = held;
    const [own] = listen;
    if (first === undefined || own === undefined) return [];
    const places = [...new Set(held.map(({ address }) => socketText({ address, port: own.port })))].join(
      ', ',
    );
    const isWhole = listen.every((one) => held.some(({ address }) => covers(address, one.address)));
    const text = `${programText(first)} holds ${places}`;
    const fix = fixFor(first, places);
    if (isWhole) return problem('port-53-taken', `${text}: this server cannot answer there`, fix);
    return warning('port-53-taken', `${text}: queries to this address do not reach this server`, fix);
  });
}

function isOurs({ program }: Holder): boolean {
  if (program === undefined) return false;
  // under systemd the sockets are opened by it, and handed over
  if (program.pid === 1 && program.name === 'systemd') return true;
  const words = program.words.join(' ');
  return (
    /outpost-dns|(?:^|[ /])(?:src\/main\.ts|dist\/main\.js)\b/.test(words) &&
    /\b(?:serve|sandbox)\b/.test(words)
  );
}

function meets(own: string, held: string): boolean {
  return covers(own, held) || covers(held, own);
}

/** Whether a socket at `one` gets datagrams for `other`; a socket at `::` gets those of IPv4 too, unless it declines. */
function covers(one: string, other: string): boolean {
  if (one === other || one === '::') return true;
  return isWildcard(one) && !other.includes(':');
}

function programText({ program }: Holder): string {
  if (program === undefined) return 'another program, which only root can see,';
  if (isStub(program.name)) return `the stub of systemd-resolved (pid ${program.pid})`;
  return `the program "${program.name}" (pid ${program.pid})`;
}

function fixFor({ program }: Holder, places: string): string {
  if (program === undefined) return 'run the check as root to see which: sudo outpost-dns check';
  if (isStub(program.name)) return RESOLVED;
  const end =
    program.unit === undefined
      ? `end it: kill ${program.pid}`
      : `end it: systemctl disable --now ${program.unit}`;
  return `${end}; or name other addresses than ${places} in listen.dns`;
}

const RESOLVED =
  "mkdir -p /etc/systemd/resolved.conf.d && printf '[Resolve]\\nDNSStubListener=no\\n' > /etc/systemd/resolved.conf.d/outpost-dns.conf && systemctl restart systemd-resolved";

// Finds the programs that hold a port on this host, as ss(8) does: sockets from /proc/net, and their owners from
// /proc/PID/fd. On a system without /proc it finds none. Only root sees the owners of other users' sockets.

interface Holder {
  /** Canonical text; `0.0.0.0` and `::` are wildcards. */
  readonly address: string;
  readonly transport: 'udp' | 'tcp';
  /** Absent where this user may not see it. */
  readonly program?: {
    readonly pid: number;
    readonly name: string;
    readonly words: readonly string[];
    readonly unit?: string;
  };
}

const TABLES = [
  ['udp', 'udp'],
  ['udp6', 'udp'],
  ['tcp', 'tcp'],
  ['tcp6', 'tcp'],
] as const;
/** The state LISTEN of TCP; a UDP socket without a peer has the state CLOSE. */
const LISTENING: Readonly<Record<Holder['transport'], string>> = { tcp: '0A', udp: '07' };

/** `proc` is /proc, or its copy in a test. */
export async function portHolders(port: number, proc = '/proc'): Promise<readonly Holder[]> {
  const sockets = (
    await Promise.all(
      TABLES.map(async ([table, transport]) =>
        socketsIn(await readFile(join(proc, 'net', table), 'utf8').catch(() => ''), transport, port),
      ),
    )
  ).flat();
  if (sockets.length === 0) return [];
  const programs = await programsOf(new Set(sockets.map(({ inode }) => inode)), proc);
  return sockets.flatMap(({ inode, ...socket }) => {
    const found = programs.get(inode) ?? [];
    return found.length === 0 ? [socket] : found.map((program) => ({ ...socket, program }));
  });
}

function socketsIn(table: string, transport: Holder['transport'], port: number) {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      if (!local.endsWith(suffix) || state !== LISTENING[transport]) return [];
      return [{ address: addressOf(local.slice(0, -suffix.length)), transport, inode }];
    });
}

/** Words of 32 bits in the order of the host, which is little-endian on every platform of Node. */
function addressOf(hex: string): string {
  const octets = (hex.match(/.{8}/g) ?? []).flatMap((word) =>
    (word.match(/../g) ?? []).map((octet) => Number.parseInt(octet, 16)).reverse(),
  );
  const parsed = ipaddr.fromByteArray(octets);
  return parsed.kind() === 'ipv6' && parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress()
    ? parsed.toIPv4Address().toString()
    : parsed.toString();
}

type Program = NonNullable<Holder['program']>;

async function programsOf(
  inodes: ReadonlySet<string>,
  proc: string,
): Promise<ReadonlyMap<string, readonly Program[]>> {
  const found = new Map<string, Program[]>();
  const pids = (await readdir(proc).catch((): string[] => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const held = await heldBy(join(proc, pid), inodes);
    if (held.size === 0) continue;
    const program = await describe(Number(pid), join(proc, pid));
    for (const inode of held) found.set(inode, [...(found.get(inode) ?? []), program]);
  }
  return found;
}

async function heldBy(directory: string, inodes: ReadonlySet<string>): Promise<ReadonlySet<string>> {
  const names = await readdir(join(directory, 'fd')).catch((): string[] => []);
  const links = await Promise.all(names.map((name) => readlink(join(directory, 'fd', name)).catch(() => '')));
  const held = links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []);
  return new Set(held.filter((inode) => inodes.has(inode)));
}

async function describe(pid: number, directory: string): Promise<Program> {
  const read = (name: string) => readFile(join(directory, name), 'utf8').catch(() => '');
  const [name, words, group] = await Promise.all([read('comm'), read('cmdline'), read('cgroup')]);
  const unit = /\/([^/\n]+\.service)(?:\/|$)/m.exec(group)?.[1];
  return {
    pid,
    name: name.trim(),
    words: words.split('\0').filter((word) => word !== ''),
    ...(unit === undefined ? {} : { unit }),
  };
}

const DNS_PORT = 53;
const TIMEOUT_MS = 1_000;

/** glibc asks no more than three. */
const MOST_SERVERS = 3;

/** Whether programs on this host ask this server: through /etc/resolv.conf, and through the resolver that it names. */
export async function resolverFindings(
  { config, server, endpoints, resolvConf }: Pick<Site, 'config' | 'server' | 'endpoints' | 'resolvConf'>,
  asksUs: (nameserver: SocketAddress, endpoint: string) => Promise<boolean> = forwardsToUs,
): Promise<readonly Finding[]> {
  // no resolver of a host can be told another port, and before the start of the server nobody can ask it
  const own = config.listen.dns.filter(({ port }) => port === DNS_PORT);
  const endpoint = endpoints.find(({ name }) => name !== undefined)?.name;
  if (own.length === 0 || server === undefined || endpoint === undefined) return [];
  const text = await readFile(resolvConf, 'utf8').catch(() => undefined);
  if (text === undefined) return [];
  const nameservers = serversIn(text);
  const others = nameservers.filter((one) => !isOwn(one.address, own));
  const asked = await Promise.all(others.map(async (one) => ({ one, isOurs: await asksUs(one, endpoint) })));
  const foreign = asked.filter(({ isOurs }) => !isOurs).map(({ one }) => one.address);
  if (nameservers.length > 0 && foreign.length === 0) return [];
  const names = foreign.length === 0 ? 'no server' : foreign.join(', ');
  return warning(
    'resolver-not-us',
    `"${resolvConf}" of this host names ${names}, which does not ask this server for "${endpoint}"`,
    resolverFix(foreign, own),
  );
}

function resolverFix(foreign: readonly string[], own: readonly SocketAddress[]): string {
  const address = own.map((one) => one.address).find((one) => !isWildcard(one)) ?? '127.0.0.1';
  if (foreign.some((one) => one === '127.0.0.53' || one === '127.0.0.54')) {
    return `point systemd-resolved here: mkdir -p /etc/systemd/resolved.conf.d && printf '[Resolve]\\nDNS=${address}\\nDomains=~.\\n' > /etc/systemd/resolved.conf.d/outpost-dns-first.conf && systemctl restart systemd-resolved`;
  }
  return `echo nameserver ${address} > /etc/resolv.conf, or set it where the host makes that file (NetworkManager, DHCP)`;
}

function serversIn(text: string): readonly SocketAddress[] {
  const addresses = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, address = '']) => address);
  return addresses.slice(0, MOST_SERVERS).flatMap((address) => {
    const reading = readSocketAddress(address, DNS_PORT, 1);
    return 'value' in reading ? [reading.value] : [];
  });
}

function isOwn(address: string, own: readonly SocketAddress[]): boolean {
  if (own.some((one) => one.address === address)) return true;
  if (!own.some((one) => isWildcard(one.address))) return false;
  const here = Object.values(networkInterfaces()).flatMap((infos = []) => infos.map((info) => info.address));
  return here.includes(address) || (address.startsWith('127.') && !address.startsWith('127.0.0.5'));
}

/** Only an outpost-dns has text at this name. */
async function forwardsToUs(server: SocketAddress, endpoint: string): Promise<boolean> {
  const query = composeOwnQuery(nameToWire(`_status.${endpoint}`), TYPE.TXT);
  const outcome = await exchange({ server, query, timeoutMs: TIMEOUT_MS, attempts: 2 });
  if (outcome.kind === 'failed') return false;
  const reply = readReply(outcome.octets);
  return !('fault' in reply) && reply.records.some(({ type }) => type === 'TXT');
}
