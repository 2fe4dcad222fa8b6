/**
 * Declares the keys for the server itself: its addresses, clients, limits, identity, status pages, drills, state directory and
 * log; and how it forwards names and keeps the answers.
 */
import { isSameFamily, isWildcard } from '../../protocol/words/address-text.ts';
import { type Findings, type Items, notMoreThan, type Place } from '../declaration.ts';
import { type Path, pathText } from '../fault.ts';
import { choice, defaulted, flag, list, optional, section, wholeNumber } from '../key.ts';
import type { SocketAddress } from '../kinds/address.ts';
import { duration, durationOrUnlimited, durationText, size, ttl } from '../kinds/quantity.ts';
import { absolutePath, characterString, domainName, listenAddress, network } from '../kinds/text.ts';
import { DEFAULT_STATE_DIRECTORY } from '../source-text.ts';

export const listen = section(
  'daemon',
  'where DNS is served',
  {
    dns: defaulted(
      list(listenAddress(53), 1, 64),
      ['0.0.0.0:53', '[::]:53'],
      'addresses for DNS, on UDP and TCP',
    ),
    udp: defaulted(
      choice('auto', 'batched', 'plain'),
      'auto',
      'how datagrams are received; batched takes up to 64 in one call, where the runtime can (Linux, Node 26)',
      { needsRestart: true },
    ),
  },
  listenersApart,
);

export const clients = section('daemon', 'which clients are served', {
  allow: defaulted(
    list(network(), 1, 1000),
    [
      '127.0.0.0/8',
      '::1/128',
      '10.0.0.0/8',
      '172.16.0.0/12',
      '192.168.0.0/16',
      '100.64.0.0/10',
      '169.254.0.0/16',
      'fe80::/10',
      'fc00::/7',
    ],
    'networks of clients that are answered; all other clients get REFUSED',
  ),
});

export const limits = section(
  'serving/listener',
  'limits for one client, and for all clients together',
  {
    tcpConnections: defaulted(
      wholeNumber(1, 65_535),
      150,
      'TCP connections at a time; the next takes the place of the connection that has been incomplete or idle for longest',
      { option: 'tcp.connections' },
    ),
    tcpConnectionsPerClient: defaulted(
      wholeNumber(1, 65_535),
      20,
      'TCP connections at a time from one address; the next takes the place of the longest idle connection of that address',
      { option: 'tcp.connectionsPerClient' },
    ),
    tcpIdle: defaulted(
      duration('100ms', '10m'),
      '10s',
      'time after which an idle TCP connection is closed; less as slots fill',
      { option: 'tcp.idleMs' },
    ),
    tcpFrame: defaulted(
      duration('100ms', '1m'),
      '3s',
      'time in which a message begun on TCP must be complete',
      { option: 'tcp.frameMs' },
    ),
    tcpPipelined: defaulted(
      wholeNumber(1, 10_000),
      100,
      'unanswered queries at a time on one TCP connection',
      { option: 'tcp.pipelined' },
    ),
    responsesPerSecond: defaulted(
      wholeNumber(0, 1_000_000),
      0,
      'UDP responses per second that carry records of other servers, to one network (/24 or /56) of allowed clients; 0 turns the limit off. Never held back: answers of this server itself, denials, errors, and clients with a DNS cookie',
    ),
    slip: defaulted(
      wholeNumber(0, 10),
      2,
      'above responsesPerSecond, every n-th response is sent truncated, so that the client tries TCP; 0 sends none; a client that knows DNS cookies gets BADCOOKIE with a cookie instead',
    ),
    refusalsPerSecond: defaulted(
      wholeNumber(0, 1_000_000),
      100,
      'REFUSED per second to one network (/24 or /56) outside clients.allow, on UDP and TCP; above it there is no reply; 0 turns the limit off',
      { room: 'daemon' },
    ),
  },
  notMoreThan('tcpConnectionsPerClient', 'tcpConnections'),
);

export const identity = section(
  'serving/resolver',
  'names and versions that the server reports about itself',
  {
    version: optional(
      characterString('outpost-dns'),
      'answer to version.bind in class CH; without it REFUSED',
    ),
    id: optional(characterString('site-1'), 'answer to id.server in class CH; without it REFUSED'),
  },
);

export const admin = section('daemon', 'status pages, health and metrics', {
  listen: defaulted(
    listenAddress(9153),
    '127.0.0.1:9153',
    'address for metrics, health and status over HTTP, read-only',
    { needsRestart: true },
  ),
  allow: defaulted(
    list(network(), 1, 1000),
    ['127.0.0.0/8', '::1/128', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'],
    'networks of clients that may read these pages; all other clients get 403',
  ),
  hosts: defaulted(
    list(domainName('dns.site.example'), 0, 100),
    [],
    'names by which a browser may ask for these pages, beside addresses, localhost and the name of the host; any other name gets 403, because its owner may point it at this server',
  ),
});

export const drill = section('daemon', 'which upstreams a rehearsed outage still asks', {
  onSite: defaulted(
    list(network(), 0, 1000),
    [],
    'networks of upstreams that are reached without the link to AWS: a drill still asks these, and treats all other upstreams as unreachable',
  ),
});

export const state = section('daemon', 'where the state is kept', {
  directory: defaulted(
    absolutePath(DEFAULT_STATE_DIRECTORY),
    DEFAULT_STATE_DIRECTORY,
    'directory of the state that survives a restart',
    { needsRestart: true },
  ),
});

export const log = section('log', 'the log', {
  level: defaulted(choice('debug', 'info', 'warn', 'error'), 'info', 'lowest level that is logged'),
  format: defaulted(
    choice('auto', 'json', 'pretty'),
    'auto',
    'auto is pretty on a terminal and json elsewhere',
    { needsRestart: true },
  ),
});

function* listenersApart({ dns = [] }: { readonly dns?: Items<SocketAddress> }, { path }: Place): Findings {
  for (const [index, socket] of dns.entries()) {
    const taken = dns.slice(0, index).findIndex((earlier) => isOverlapping(earlier, socket));
    if (taken < 0) continue;
    const message = `already covered by ${pathText([...path, 'dns', taken])}`;
    yield { path: [...path, 'dns', index], message, fix: 'remove one of the two' };
  }
}

interface SocketsDraft {
  readonly listen?: { readonly dns?: Items<SocketAddress> } | undefined;
  readonly admin?: { readonly listen?: SocketAddress | undefined } | undefined;
  readonly upstreams?: Items<SocketAddress>;
  readonly zones?: Items<{ readonly forwardTo?: Items<SocketAddress> }>;
}

/** The second bind of a socket would fail. */
export function* adminApart({ listen, admin }: SocketsDraft, { isWritten }: Place): Findings {
  const taken = (listen?.dns ?? []).findIndex((socket) => isOverlapping(socket, admin?.listen));
  if (taken < 0) return;
  const [own, other] = [
    ['admin', 'listen'],
    ['listen', 'dns', taken],
  ];
  const [path, beside] = isWritten(...own) ? [own, other] : [other, own];
  yield { path, message: `the same socket as ${pathText(beside)}`, fix: 'give one of the two another port' };
}

/** An upstream that is this server is a loop. */
export function* upstreamsElsewhere(draft: SocketsDraft, { ownAddresses }: Place): Findings {
  const listeners = draft.listen?.dns ?? [];
  const lists: { readonly items: Items<SocketAddress>; readonly path: Path }[] = [
    { items: draft.upstreams, path: ['upstreams'] },
    ...(draft.zones ?? []).map((zone, index) => ({
      items: zone?.forwardTo,
      path: ['zones', index, 'forwardTo'],
    })),
  ];
  for (const { items, path } of lists) {
    for (const [index, upstream] of (items ?? []).entries()) {
      const own = listeners.findIndex((listener) => isReachedAt(listener, upstream, ownAddresses));
      if (own < 0) continue;
      yield {
        path: [...path, index],
        message: `this server itself, which listens there (${pathText(['listen', 'dns', own])})`,
        fix: 'name another server, or listen on another address or port',
      };
    }
  }
}

/** Whether two addresses collide. Port 0 stands for any free port, and never collides. */
function isOverlapping(one: SocketAddress | undefined, other: SocketAddress | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  if (one.port !== other.port || one.port === 0) return false;
  if (one.address === other.address) return true;
  return isSameFamily(one, other) && (isWildcard(one.address) || isWildcard(other.address));
}

/**
 * Addresses of every host, listed or not. The rest of 127.0.0.0/8 is no address of an interface, and a wildcard is not taken for it.
 * Other programs use it: systemd's stub resolver has 127.0.0.53.
 */
const EVERY_HOST: ReadonlySet<string> = new Set(['127.0.0.1', '::1']);

function isReachedAt(
  listener: SocketAddress | undefined,
  upstream: SocketAddress | undefined,
  own: ReadonlySet<string>,
): boolean {
  if (listener === undefined || upstream === undefined) return false;
  if (listener.port !== upstream.port) return false;
  if (listener.address === upstream.address) return true;
  if (!isWildcard(listener.address) || !isSameFamily(listener, upstream)) return false;
  return EVERY_HOST.has(upstream.address) || own.has(upstream.address);
}

export const forward = section(
  'serving/forwarder',
  'how queries are forwarded',
  {
    deadline: defaulted(duration('500ms', '30s'), '5s', 'time in which a client gets an answer or SERVFAIL'),
    attemptMin: defaulted(
      duration('10ms', '10s'),
      '200ms',
      'shortest wait for an upstream before the next is tried',
    ),
    attemptMax: defaulted(
      duration('10ms', '30s'),
      '2s',
      'longest wait for an upstream before the next is tried',
    ),
    inFlight: defaulted(
      wholeNumber(1, 65_535),
      1000,
      'questions of clients on their way to upstreams at a time; above it the oldest question of the network with the most gets SERVFAIL',
    ),
    caseRandomization: defaulted(
      flag(),
      true,
      'vary the case of names at random against forged replies (0x20); without it, and for upstreams that do not keep the case, each exchange has a source port of its own, which takes twice the processor time',
    ),
    siteNames: defaulted(
      choice('auto', 'always', 'never'),
      'auto',
      'whether names of the site itself (reverse names of private addresses, local, home.arpa, test) are forwarded: auto asks upstreams on the site, always asks all upstreams, never denies the names at once',
      { room: 'daemon' },
    ),
    trustAuthenticatedData: defaulted(
      flag(),
      false,
      'pass on the AD bit of upstreams, which must be near and trusted',
    ),
  },
  notMoreThan('attemptMin', 'attemptMax', durationText),
  notMoreThan('attemptMax', 'deadline', durationText),
);

export const cache = section('serving/answer-cache', 'how forwarded answers are kept', {
  size: defaulted(size('1MiB', '16GiB'), '64MiB', 'memory for forwarded answers'),
  maxTtl: defaulted(ttl('1s', '7d'), '1d', 'longest time an answer counts as fresh'),
  negativeTtl: defaulted(ttl('1s', '3h'), '60s', 'longest time a negative answer counts as fresh'),
  staleFor: defaulted(
    durationOrUnlimited('0s', '3650d'),
    '30d',
    'time after its expiry in which an answer is served while its upstreams do not answer; 0s turns it off',
  ),
  staleTtl: defaulted(ttl('1s', '1h'), '30s', 'TTL of a stale answer'),
  prefetch: defaulted(flag(), true, 'refresh answers in use shortly before they expire'),
});
