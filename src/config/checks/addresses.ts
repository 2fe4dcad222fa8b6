/** Checks of the sockets: none bound twice, no upstream that is this server. */
import { type Finding, type Path, pathText } from '../fault.ts';
import type { SocketAddress } from '../kinds/address.ts';
import type { CheckContext } from './checks.ts';

/**
 * Addresses of every host, listed or not. The rest of 127.0.0.0/8 is no address of an interface: a wildcard does not bind
 * it, and another program may hold it, as systemd's stub resolver holds 127.0.0.53.
 */
const EVERY_HOST: ReadonlySet<string> = new Set(['127.0.0.1', '::1']);

interface Listener {
  readonly socket: SocketAddress;
  readonly path: Path;
}

function listenersOf(context: CheckContext): Listener[] {
  return (context.draft.listen?.dns ?? []).flatMap((socket, index) =>
    socket === undefined ? [] : [{ socket, path: ['listen', 'dns', index] }],
  );
}

export function* listenersApart(context: CheckContext): Iterable<Finding> {
  const listeners = listenersOf(context);
  for (const [index, listener] of listeners.entries()) {
    const taken = listeners.slice(0, index).find((earlier) => isOverlapping(earlier.socket, listener.socket));
    if (taken === undefined) continue;
    yield {
      path: listener.path,
      message: `already covered by ${pathText(taken.path)}`,
      mend: 'remove one of the two',
    };
  }
}

export function* adminApart(context: CheckContext): Iterable<Finding> {
  const socket = context.draft.admin?.listen;
  if (socket === undefined) return;
  const taken = listenersOf(context).find((listener) => isOverlapping(listener.socket, socket));
  if (taken === undefined) return;
  const path = context.isWritten(['admin', 'listen']) ? ['admin', 'listen'] : taken.path;
  const other = path === taken.path ? 'admin.listen' : pathText(taken.path);
  yield { path, message: `the same socket as ${other}`, mend: 'give one of the two another port' };
}

/** Port 0 is any free port, and never collides. */
function isOverlapping(one: SocketAddress, other: SocketAddress): boolean {
  if (one.port !== other.port || one.port === 0) return false;
  if (one.address === other.address) return true;
  return isSameFamily(one, other) && (isWildcard(one) || isWildcard(other));
}

function isSameFamily(one: SocketAddress, other: SocketAddress): boolean {
  return one.address.includes(':') === other.address.includes(':');
}

function isWildcard(socket: SocketAddress): boolean {
  return socket.address === '0.0.0.0' || socket.address === '::';
}

export function* upstreamsElsewhere(context: CheckContext): Iterable<Finding> {
  const listeners = listenersOf(context);
  const lists: { items: readonly (SocketAddress | undefined)[]; path: Path }[] = [
    { items: context.draft.upstreams ?? [], path: ['upstreams'] },
  ];
  for (const [index, zone] of (context.draft.zones ?? []).entries()) {
    lists.push({ items: zone?.forwardTo ?? [], path: ['zones', index, 'forwardTo'] });
  }
  for (const { items, path } of lists) {
    for (const [index, upstream] of items.entries()) {
      const own =
        upstream && listeners.find(({ socket }) => isReachedAt(socket, upstream, context.ownAddresses));
      if (!own) continue;
      yield {
        path: [...path, index],
        message: `this server itself, which listens there (${pathText(own.path)})`,
        mend: 'name another server, or listen on another address or port',
      };
    }
  }
}

function isReachedAt(listener: SocketAddress, upstream: SocketAddress, own: ReadonlySet<string>): boolean {
  if (listener.port !== upstream.port) return false;
  if (listener.address === upstream.address) return true;
  if (!isWildcard(listener) || !isSameFamily(listener, upstream)) return false;
  return EVERY_HOST.has(upstream.address) || own.has(upstream.address);
}
