/**
 * Findings about the upstreams: each is asked for an endpoint, and for a name that only an outpost-dns answers. Upstreams of a zone
 * are asked for the zone.
 */
import { connect as connectTls, type TLSSocket } from 'node:tls';
import ipaddr from 'ipaddr.js';
import type { Config } from '../../config/config.ts';
import type { TransportName } from '../../config/kinds/upstream.ts';
import { composeOwnQuery } from '../../protocol/wire/query.ts';
import { TYPE } from '../../protocol/words/codes.ts';
import { nameToWire } from '../../protocol/words/name.ts';
import { exchange, type LookupReply, readReply } from '../dns-exchange.ts';
import { type Finding, problem, warning } from './finding.ts';
import type { Site } from './site.ts';

type Upstream = Config['upstreams'][number];

/** An answer that takes longer makes every lookup of a new name slow. */
const SLOW_MS = 500;
const ATTEMPT_MS = 2_000;
const ATTEMPTS = 2;

export interface UpstreamAnswer {
  readonly upstream: Upstream;
  /** Whether it stands for all names, and not for a zone alone. */
  readonly isDefault: boolean;
  readonly elapsedMs?: number;
  /** Why there is no answer. */
  readonly failure?: string;
  readonly rcode?: string;
  /** The addresses that it gives for the endpoint. */
  readonly addresses?: readonly string[];
  /** The transport that gives no answer, where the other one does. */
  readonly without?: 'UDP' | 'TCP' | undefined;
  /** It answers over UDP, but not questions with EDNS. */
  readonly dropsEdns?: boolean;
  /** It answers a name that only an outpost-dns answers. */
  readonly isOurs?: boolean;
}

/** Asks every upstream once, side by side. */
export async function askUpstreams({ config, endpoints }: Site): Promise<readonly UpstreamAnswer[]> {
  const endpoint = endpoints.find(({ name }) => name !== undefined)?.name;
  const ofZones = [...config.zones].flatMap((zone) =>
    'forwardTo' in zone ? zone.forwardTo.upstreams.map((upstream) => ({ upstream, name: zone.name })) : [],
  );
  const defaults = config.upstreams.map((upstream) => ({ upstream, name: endpoint ?? '.' }));
  // an upstream of several names is asked for the first of them
  const byText = Map.groupBy([...defaults, ...ofZones], ({ upstream }) => upstream.text);
  const asked = [...byText.values()].flatMap((all) => all.slice(0, 1));
  return Promise.all(asked.map((one) => askOne(one.upstream, defaults.includes(one), one.name, endpoint)));
}

async function askOne(
  upstream: Upstream,
  isDefault: boolean,
  name: string,
  endpoint: string | undefined,
): Promise<UpstreamAnswer> {
  const isForEndpoint = isDefault && endpoint !== undefined;
  const qtype = isForEndpoint ? TYPE.A : name === '.' ? TYPE.NS : TYPE.SOA;
  const [first, other, status] = await Promise.all([
    ask(upstream, name, qtype),
    upstream.transport === undefined ? ask(upstream, name, qtype, true) : undefined,
    isForEndpoint ? ask(upstream, `_status.${endpoint}`, TYPE.TXT) : undefined,
  ]);
  const isOnlyTcp = first.kind === 'failed' && other?.kind === 'reply';
  const main = isOnlyTcp ? other : first;
  if (main.kind === 'failed') return { upstream, isDefault, failure: main.detail };
  const reply = readReply(main.octets);
  if ('fault' in reply)
    return { upstream, isDefault, failure: `a reply that cannot be read: ${reply.fault}` };
  const isUdp = first.kind === 'reply' && upstream.transport === undefined;
  const withEdns = isUdp ? await ask(upstream, name, qtype, false, true) : undefined;
  const texts = status?.kind === 'reply' ? readReply(status.octets) : undefined;
  return {
    upstream,
    isDefault,
    elapsedMs: main.elapsedMs,
    rcode: reply.rcode,
    without: isOnlyTcp ? 'UDP' : other?.kind === 'failed' ? 'TCP' : undefined,
    dropsEdns: withEdns?.kind === 'failed',
    ...(isForEndpoint ? { addresses: dataOf(reply, 'A') } : {}),
    isOurs: texts !== undefined && !('fault' in texts) && dataOf(texts, 'TXT').length > 0,
  };
}

function dataOf({ records }: LookupReply, type: string): readonly string[] {
  return records.filter((one) => one.section === 'answer' && one.type === type).map(({ data }) => data);
}

function ask(upstream: Upstream, name: string, qtype: number, overTcp = false, withEdns = false) {
  const { address, port, transport } = upstream;
  const query = composeOwnQuery(nameToWire(name), qtype, withEdns ? { dnssecOk: false } : undefined);
  const common = { server: { address, port }, query };
  // one connection has as long as all datagrams together: an upstream may have to find out first
  const wholeTime = { ...common, overTcp: true, timeoutMs: ATTEMPT_MS * ATTEMPTS };
  if (transport === undefined)
    return exchange(overTcp ? wholeTime : { ...common, timeoutMs: ATTEMPT_MS, attempts: ATTEMPTS });
  return exchange({ ...wholeTime, connect: () => CONNECTIONS[transport](upstream) });
}

/** Every transport that may be configured has a row: an upstream that is not asked must not be called silent. */
const CONNECTIONS: Readonly<Record<TransportName, (upstream: Upstream) => TLSSocket>> = {
  tls: ({ address, port, serverName }) =>
    connectTls({ host: address, port, servername: serverName, ALPNProtocols: ['dot'] }),
};

/** `isCut`: AWS cannot be reached either, so silent upstreams are part of the cut. */
export function upstreamFindings(
  { endpoints }: Pick<Site, 'endpoints'>,
  answers: readonly UpstreamAnswer[],
  isCut: boolean,
): readonly Finding[] {
  const isAnyUp = answers.some(({ isDefault, failure }) => isDefault && failure === undefined);
  const known = endpoints.find(({ name }) => name !== undefined);
  return answers.flatMap((answer) => {
    const { upstream, failure, elapsedMs = 0, isOurs, without, dropsEdns } = answer;
    const text = `upstream "${upstream.text}"`;
    if (failure !== undefined) {
      const of = isAnyUp || isCut ? warning : problem;
      return of('upstream-silent', `${text} does not answer: ${failure}`, REACH);
    }
    const found: Finding[] = [];
    if (isOurs)
      found.push(
        ...problem(
          'upstream-forwards-back',
          `${text} forwards the endpoint to an outpost-dns: its answer confirms nothing`,
          LOOP,
        ),
      );
    else if (known?.name !== undefined) found.push(...endpointFindings(answer, known.name, known.addresses));
    if (without !== undefined)
      found.push(
        ...warning(
          'upstream-one-transport',
          `${text} does not answer over ${without}`,
          ONE_TRANSPORT[without],
        ),
      );
    if (dropsEdns)
      found.push(
        ...warning('upstream-drops-edns', `${text} does not answer questions with EDNS over UDP`, EDNS_FIX),
      );
    if (elapsedMs > SLOW_MS)
      found.push(...warning('upstream-slow', `${text} took ${Math.round(elapsedMs)} ms to answer`, SLOW_FIX));
    return found;
  });
}

/** Only the default upstreams: a zone says itself who knows its names. */
export function publicFindings({ upstreams }: Pick<Config, 'upstreams'>): readonly Finding[] {
  return upstreams
    .filter(({ address }) => ipaddr.isValid(address) && ipaddr.process(address).range() === 'unicast')
    .flatMap(({ text }) =>
      warning(
        'upstream-public',
        `upstream "${text}" is a public resolver: it knows no name of the site and no private hosted zone`,
        'list resolvers of the site or of the VPC in upstreams, or give each private zone a forwardTo in zones',
      ),
    );
}

const REACH =
  'compare its address in upstreams with /etc/resolv.conf of another host, and see that a firewall lets UDP and TCP port 53 pass';
const ONE_TRANSPORT = {
  UDP: 'let UDP port 53 pass in the firewalls on the way, both ways: over TCP alone each query waits longer',
  TCP: 'let TCP port 53 pass in the firewalls on the way: answers that are too large for UDP fail',
};
const EDNS_FIX = 'let DNS messages with an OPT record (RFC 6891) pass in the firewalls on the way, both ways';
const LOOP =
  'list an upstream that resolves the endpoint itself, such as the resolver of the VPC, or end the rule there that forwards to this server';
const SLOW_FIX = 'list an upstream that is nearer first; "outpost-dns status" shows the round trip of each';

function endpointFindings(
  { upstream, rcode, addresses }: UpstreamAnswer,
  endpoint: string,
  known: readonly string[],
): readonly Finding[] {
  if (addresses === undefined || addresses.length > 0) return [];
  const text = `upstream "${upstream.text}" answers ${rcode} without an address for "${endpoint}"`;
  if (rcode !== 'NOERROR' && rcode !== 'NXDOMAIN') {
    return warning('upstream-refuses', text, 'allow this server to ask there, or list another upstream');
  }
  if (known.length === 0 && rcode === 'NXDOMAIN') {
    return warning('upstream-refuses', text, 'check clusters[].endpoint, or list another upstream');
  }
  const suffix = endpoint.split('.').slice(-3).join('.');
  return problem(
    'upstream-filters-private',
    `${text}: it drops private addresses (protection against DNS rebinding), or does not know the name`,
    `allow private addresses for "${suffix}" there (dnsmasq: rebind-domain-ok=/${suffix}/, unbound: private-domain: "${suffix}"), or list another upstream`,
  );
}
