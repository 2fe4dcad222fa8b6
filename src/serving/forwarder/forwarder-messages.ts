/** Declares the log lines of the forwarder. */
import { messages } from '../../log/log.ts';

const UPSTREAM = { upstream: 'the upstream' };

export const FORWARDER_MESSAGES = messages({
  down: {
    level: 'warn',
    text: 'upstream is down',
    fields: { ...UPSTREAM, reason: 'the failure', detail: 'the failure in words' },
    fix: 'in a cut: nothing. Otherwise check the upstream: names that were asked before are answered stale',
  },
  up: { level: 'info', text: 'upstream is up', fields: UPSTREAM },
  loop: {
    level: 'warn',
    text: 'upstream sends our own queries back to us: check where it forwards to',
    fields: { ...UPSTREAM, zone: 'the zone that it is asked for' },
    fix: 'name an upstream that does not forward to this server',
  },
  caseLost: {
    level: 'info',
    text: 'upstream loses the case of names: a port for each question instead',
    fields: UPSTREAM,
  },
  withoutEdns: {
    level: 'info',
    text: 'upstream refuses EDNS: asking without it for a while',
    fields: UPSTREAM,
  },
  ednsDropped: {
    level: 'warn',
    text: 'upstream answers without EDNS, and drops questions with EDNS: asking without it for a while',
    fields: UPSTREAM,
    fix: 'let DNS messages with an OPT record pass in the firewalls on the way to it: without EDNS there is no DNSSEC, and answers of more than 512 octets need TCP',
  },
  differ: {
    level: 'warn',
    text: 'upstreams differ about an endpoint',
    fields: { name: 'the endpoint', opinions: 'each upstream and its answer' },
    fix: 'correct the upstream whose answer is wrong: a private zone or an old record, most likely',
  },
  agree: {
    level: 'info',
    text: 'upstreams agree again about an endpoint',
    fields: { name: 'the endpoint' },
  },
});
