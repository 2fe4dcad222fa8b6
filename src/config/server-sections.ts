/** The keys that say how the server itself stands: where it listens, who may ask, what is limited, watched, kept, logged. */
import * as z from 'zod';
import { choice, defaulted, list, optional, wholeNumber } from './key.ts';
import { listenAddress, network } from './kinds/address.ts';
import { domainName } from './kinds/domain-name.ts';
import { duration } from './kinds/duration.ts';
import { absolutePath, characterString } from './kinds/text.ts';

export const limits = z.strictObject({
  tcpConnections: defaulted(
    wholeNumber(1, 65_535),
    150,
    'TCP connections at a time; the next takes the place of the one that has been incomplete or idle for longest',
  ),
  tcpConnectionsPerClient: defaulted(
    wholeNumber(1, 65_535),
    20,
    'TCP connections at a time from one address; the next takes the place of its own longest idle one',
  ),
  tcpIdle: defaulted(
    duration('100ms', '10m'),
    '10s',
    'time after which an idle TCP connection is closed; less as slots fill',
  ),
  tcpFrame: defaulted(duration('100ms', '1m'), '3s', 'time in which a message begun on TCP must be complete'),
  tcpPipelined: defaulted(wholeNumber(1, 10_000), 100, 'unanswered queries at a time on one TCP connection'),
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
  ),
});

export const listen = z.strictObject({
  dns: defaulted(
    list(listenAddress(53), 1, 64),
    ['0.0.0.0:53', '[::]:53'],
    'addresses for DNS, on UDP and TCP',
  ),
  udp: defaulted(
    choice('auto', 'batched', 'plain'),
    'auto',
    'how datagrams are received; batched takes up to 64 in one call, where the runtime can (Linux, Node 26)',
  ),
});

export const clients = z.strictObject({
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
    'networks of clients that are answered; all others get REFUSED',
  ),
});

export const identity = z.strictObject({
  version: optional(
    characterString('outpost-dns'),
    'answer to version.bind in class CH; without it REFUSED',
    'outpost-dns',
  ),
  id: optional(characterString('site-1'), 'answer to id.server in class CH; without it REFUSED', 'site-1'),
});

export const admin = z.strictObject({
  listen: defaulted(
    listenAddress(9153),
    '127.0.0.1:9153',
    'address for metrics, health and status over HTTP, read-only',
  ),
  allow: defaulted(
    list(network(), 1, 1000),
    ['127.0.0.0/8', '::1/128', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'],
    'networks of clients that may read these pages; all others get 403',
  ),
  hosts: defaulted(
    list(domainName('dns.site.example'), 0, 100),
    [],
    'names by which a browser may ask for these pages, beside addresses, localhost and the name of the host: a name that somebody else points here gets 403',
  ),
});

export const state = z.strictObject({
  directory: defaulted(
    absolutePath('/var/lib/outpost-dns'),
    '/var/lib/outpost-dns',
    'directory of what survives a restart',
  ),
});

export const drill = z.strictObject({
  onSite: defaulted(
    list(network(), 0, 1000),
    [],
    'networks of upstreams that are reached without the link to AWS: a drill goes on asking these, and treats all others as unreachable',
  ),
});

export const log = z.strictObject({
  level: defaulted(choice('debug', 'info', 'warn', 'error'), 'info', 'least level that is logged'),
  format: defaulted(
    choice('auto', 'json', 'pretty'),
    'auto',
    'auto is pretty on a terminal and json elsewhere',
  ),
});
