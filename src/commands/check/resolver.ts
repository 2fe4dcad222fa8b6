/** Finds out whether programs on this host ask this server: through /etc/resolv.conf, and through the resolver that it names. */
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import type { SocketAddress } from '../../config/kinds/address.ts';
import { readSocketAddress } from '../../config/kinds/address.ts';
import { composeOwnQuery } from '../../protocol/wire/query.ts';
import { TYPE } from '../../protocol/words/codes.ts';
import { nameToWire } from '../../protocol/words/name.ts';
import { exchange } from '../dns-exchange.ts';
import { readReply } from '../dns-reply.ts';
import { type Finding, warning } from './finding.ts';
import type { Site } from './site.ts';

const DNS_PORT = 53;
const TIMEOUT_MS = 1_000;

/** glibc asks no more than three. */
const MOST_SERVERS = 3;

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
  return [
    warning(
      'resolver-not-us',
      `"${resolvConf}" of this host names ${names}, which does not ask this server for "${endpoint}"`,
      fixFor(foreign, own),
    ),
  ];
}

function fixFor(foreign: readonly string[], own: readonly SocketAddress[]): string {
  const address =
    own.map((one) => one.address).find((one) => one !== '0.0.0.0' && one !== '::') ?? '127.0.0.1';
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
  if (!own.some((one) => one.address === '0.0.0.0' || one.address === '::')) return false;
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
