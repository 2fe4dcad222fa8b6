/** Finds the addresses at which the servers of the site answer: those of the flag, of the running server, or of the configuration. */
import { networkInterfaces } from 'node:os';
import { connectable, readSocketAddress, type SocketAddress } from '../../config/kinds/address.ts';
import { isLinkLocal, isLoopbackText, socketText } from '../../protocol/words/address-text.ts';
import { type ConfigSearch, DEFAULT_PLACES, placesOf } from '../running-server.ts';
import { getStatus } from '../server-client.ts';
import type { ExportFormat, ExportRefusal } from './format.ts';

const TIMEOUT_MS = 1_000;

/** The sentence about servers that no flag named: a site has two, and one of them is found here. */
export function foundText(servers: readonly SocketAddress[]): string {
  return `the addresses are those of the server that runs here: ${servers.map(socketText).join(', ')}; name all servers of the site with --server`;
}

/** `given`: what --server names. */
export async function serversFor(
  { servers: scope, needsPort53 }: ExportFormat,
  given: readonly SocketAddress[],
  search: ConfigSearch,
): Promise<readonly SocketAddress[] | ExportRefusal> {
  if (scope === undefined) return [];
  const servers = given.length > 0 ? given : reachable(await listening(search), scope);
  if (servers.length === 0) {
    return {
      error: `the addresses of the servers are not known: no server runs here that ${scope === 'of the site' ? 'other hosts can ask' : 'answers'}`,
      fix: 'name them: --server 10.0.9.53 10.0.9.54',
    };
  }
  const other = needsPort53 ? servers.find(({ port }) => port !== 53) : undefined;
  if (other === undefined) return servers;
  return {
    error: `this format cannot name the port of "${socketText(other)}"`,
    fix: 'let the server listen at port 53, or name another address with --server',
  };
}

/** Of the running server; of the configuration where none answers. */
async function listening(search: ConfigSearch): Promise<readonly SocketAddress[]> {
  const { admin } = search.kind === 'config' ? placesOf(search.config) : DEFAULT_PLACES;
  const reading = await getStatus(admin, TIMEOUT_MS);
  if (reading.kind === 'failed') return search.kind === 'config' ? search.config.listen.dns : [];
  return reading.facts.server.listening.flatMap(({ address }) => {
    const read = readSocketAddress(address, 53, 1);
    return 'value' in read ? [read.value] : [];
  });
}

/** A wildcard stands for the addresses of this host; loopback counts for this host alone. */
function reachable(
  addresses: readonly SocketAddress[],
  scope: NonNullable<ExportFormat['servers']>,
): readonly SocketAddress[] {
  const own = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  const outside = own.filter(({ internal, address }) => !internal && !isLinkLocal(address));
  const all = addresses.flatMap(({ address, port }) => {
    const family = address === '0.0.0.0' ? 'IPv4' : address === '::' ? 'IPv6' : undefined;
    if (family === undefined) return [{ address, port }];
    return outside.filter((one) => one.family === family).map((one) => ({ address: one.address, port }));
  });
  const far = distinct(all.filter(({ address }) => !isLoopbackText(address) && !isLinkLocal(address)));
  if (far.length > 0 || scope === 'of the site') return far;
  return distinct(addresses.map(connectable));
}

function distinct(addresses: readonly SocketAddress[]): readonly SocketAddress[] {
  return [...new Map(addresses.map((one) => [socketText(one), one])).values()];
}
