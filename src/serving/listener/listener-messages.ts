/** Declares the log lines of the listening sockets. */
import { messages } from '../../log/log.ts';

export const LISTENER_MESSAGES = messages({
  listening: {
    level: 'info',
    text: 'listening',
    fields: {
      address: 'address and port',
      udp: 'batched or plain',
      handed: 'true where the service manager holds the socket',
    },
  },
  stopped: { level: 'info', text: 'stopped listening', fields: { address: 'address and port' } },
  skipped: {
    level: 'warn',
    text: 'listen address skipped',
    fields: { address: 'address and port', reason: 'why it cannot be bound' },
    fix: 'end the program that has the port (`ss -lunp`), or name other addresses in `listen.dns`',
  },
  eachByItself: {
    level: 'info',
    text: 'listening on each address of the host by itself',
    fields: { address: 'the wildcard', reason: 'why it cannot be one socket' },
  },
  handedUnusable: {
    level: 'warn',
    text: 'a socket of the service manager is not used',
    fields: { fault: 'which, and why' },
    fix: 'correct `outpost-dns.socket`: `systemctl edit outpost-dns.socket`',
  },
  handedUnnamed: {
    level: 'warn',
    text: 'the configuration does not name these sockets of the service manager: nobody answers there',
    fields: { addresses: 'addresses and ports' },
    fix: 'name the same addresses in `listen.dns`, and in `ListenDatagram=` and `ListenStream=` of `outpost-dns.socket`',
  },
  handedWider: {
    level: 'warn',
    text: 'the service manager holds a wildcard, the configuration names single addresses: only these are served',
    fields: { addresses: 'the addresses that are served' },
    fix: 'name the same addresses in `listen.dns`, and in `ListenDatagram=` and `ListenStream=` of `outpost-dns.socket`',
  },
  handedMissing: {
    level: 'warn',
    text: 'the service manager holds no socket for these addresses: a restart may lose their queries',
    fields: { addresses: 'addresses and ports' },
    fix: 'name the same addresses in `listen.dns`, and in `ListenDatagram=` and `ListenStream=` of `outpost-dns.socket`',
  },
  addressesPolled: {
    level: 'info',
    text: 'the kernel does not tell of addresses: they are polled',
    fields: { err: 'the error' },
  },
  plainAsked: {
    level: 'warn',
    text: 'udp is not received in batches',
    fields: { asked: 'listen.udp', reason: 'why not' },
    fix: 'set `listen.udp: auto`, or run the packaged runtime',
  },
  plain: {
    level: 'info',
    text: 'udp is not received in batches',
    fields: { asked: 'listen.udp', reason: 'why not' },
  },
  interfacesFail: {
    level: 'warn',
    text: 'listing network interfaces failed',
    fields: { err: 'the error', effect: 'the effect on clients' },
    fix: 'allow AF_NETLINK to the service, or name the addresses in `listen.dns`',
  },
  followFails: {
    level: 'error',
    text: 'following the addresses of the host failed',
    fields: { err: 'the error' },
    fix: 'report the line; restart the server if an address is not served',
  },
  answerFailed: {
    level: 'error',
    text: 'answer to a query failed',
    fields: { err: 'the error', faults: 'such failures so far' },
    fix: 'report the line: that query got SERVFAIL, others are not affected',
  },
  notSent: {
    level: 'warn',
    text: 'replies are not sent: to clients the server seems down',
    fields: { reason: "the system's code", times: 'such replies so far, at most one line a minute' },
    fix: '`EPERM`: a packet filter of this host or a full connection table (`nft list ruleset`, `dmesg`). `ENETUNREACH`, `EHOSTUNREACH`: no route to the client. `ENOBUFS`: the network interface does not keep up',
  },
  takenNotKept: {
    level: 'warn',
    text: 'queries that wait for an upstream are not kept for the next process',
    fields: { detail: 'why not' },
    fix: 'correct `RuntimeDirectory=` of the service, or make room under /run; only a crash loses these queries',
  },
  receiveFailed: {
    level: 'debug',
    text: 'receiving over udp failed',
    fields: { err: 'the error', reason: "the system's code", address: 'address and port' },
  },
  buffersFail: { level: 'debug', text: 'enlarging udp socket buffers failed', fields: { err: 'the error' } },
  listenFailed: {
    level: 'warn',
    text: 'listening over tcp failed: trying again every second',
    fields: { err: 'the error', address: 'address' },
    fix: '`EADDRINUSE`: end the program that has the port (`ss -ltnp`). Otherwise nothing, unless the line comes again',
  },
  acceptFailed: {
    level: 'debug',
    text: 'accepting a tcp connection failed',
    fields: { err: 'the error', address: 'address' },
  },
});
