/** Findings about the addresses in `listen.dns`: another program holds one of them. */
import { type SocketAddress, socketText } from '../../config/kinds/address.ts';
import { type Finding, problem, warning } from './finding.ts';
import { type Holder, portHolders } from './port-holders.ts';
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
    if (isWhole) return [problem('port-53-taken', `${text}: this server cannot answer there`, fix)];
    return [warning('port-53-taken', `${text}: queries to this address do not reach this server`, fix)];
  });
}

function isOurs({ program }: Holder): boolean {
  if (program === undefined) return false;
  // under systemd the sockets are opened by it, and handed over
  if (program.pid === 1 && program.name === 'systemd') return true;
  const words = program.words.join(' ');
  return /outpost-dns|\/src\/main\.ts|\/dist\/main\.js/.test(words) && /\b(?:serve|sandbox)\b/.test(words);
}

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

function meets(own: string, held: string): boolean {
  return covers(own, held) || covers(held, own);
}

/** Whether a socket at `one` gets datagrams for `other`; a socket at `::` gets those of IPv4 too, unless it declines. */
function covers(one: string, other: string): boolean {
  if (one === other || one === '::') return true;
  return WILDCARDS.has(one) && !other.includes(':');
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
