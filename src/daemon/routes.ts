/**
 * Computes the route of each name from the configuration, once. In steps, because there may be thousands of zones and queries
 * must not wait.
 */
import type { Config, ZoneConfig } from '../config/config.ts';
import type { SocketAddress } from '../config/kinds/address.ts';
import { NameMap } from '../protocol/wire/message.ts';
import { isLoopbackText } from '../protocol/words/address-text.ts';
import { JsonList } from '../runtime/json-list.ts';
import type { Steps } from '../runtime/slices.ts';
import type { Upstream, UpstreamGroup } from '../serving/forwarder/exchange.ts';
import { ClientAccess } from '../serving/listener/clients.ts';
import type { DisconnectedRulesOptions, ForwardedZone } from '../serving/local-zones/disconnected-rules.ts';
import type { SiteNames } from '../serving/local-zones/local-zones.ts';

export interface Routes {
  /** All groups that receive forwarded questions; the default group comes first. */
  readonly groups: readonly UpstreamGroup[];
  /** Names of the groups with the default upstreams, including the default group. Names beyond the link go to these groups. */
  readonly defaults: ReadonlySet<string>;
  /** The texts of all upstreams, and of the upstreams outside the site, which a drill treats as unreachable. */
  readonly upstreams: ReadonlySet<string>;
  readonly acrossLink: ReadonlySet<string>;
  /** A text that says which upstreams the server asks about which names. After a restart, answers of other upstreams may be wrong. */
  readonly scope: string;
  /** The zones that have upstreams of their own, or a rule for the time without upstreams. */
  readonly forwarded: readonly ForwardedZone[];
  /** All zones as texts: a reload compares them. */
  readonly zones: JsonList<ZoneConfig>;
  /** By its name where a zone is in the list. */
  readonly positions: NameMap<number>;
}

/** The group for names without a rule of their own. */
export function defaultGroup({ upstreams }: Config): UpstreamGroup {
  return { name: '.', upstreams };
}

export function* routesOf(config: Config): Steps<Routes> {
  const onSite = new ClientAccess(config.drill.onSite);
  const groups: UpstreamGroup[] = [];
  const [upstreams, acrossLink] = [new Set<string>(), new Set<string>()];
  const scopes: string[] = [];
  const defaults = new Set<string>();
  const usual = textOf(defaultGroup(config));
  const zones = yield* JsonList.of(config.zones);
  const positions = new NameMap<number>();
  let position = 0;
  const forwarded: ForwardedZone[] = [];
  const add = (group: UpstreamGroup): void => {
    groups.push(group);
    if (textOf(group) === usual) defaults.add(group.name);
    scopes.push(JSON.stringify(group));
    for (const { text, address } of group.upstreams) {
      if (upstreams.has(text)) continue;
      upstreams.add(text);
      if (!onSite.isAllowed(address)) acrossLink.add(text);
    }
  };
  const all = defaultGroup(config);
  add(all);
  const ofSite = siteGroup(config, all);
  if (ofSite !== undefined && ofSite !== all) add(ofSite);
  for (const zone of zones) {
    positions.set(zone.name, position++);
    if ('forwardTo' in zone) {
      add(zone.forwardTo);
      forwarded.push(zone);
    }
    yield;
  }
  const scope = `[${scopes.join(',')}]`;
  return { groups, defaults, upstreams, acrossLink, scope, forwarded, zones, positions };
}

function textOf({ upstreams }: UpstreamGroup): string {
  return upstreams.map(({ text }) => text).join(' ');
}

/** Finds the zones whose rule is new, changed or gone. Changed default upstreams change no zone: all of them give the same answers. */
export function* changedZones(before: Routes, after: Routes): Steps<readonly string[]> {
  const changed: string[] = [];
  for (let index = 0; index < after.zones.length; index++) {
    const { name } = after.zones.at(index);
    const position = before.positions.get(name);
    if (position === undefined || !(yield* after.zones.same(index, before.zones, position)))
      changed.push(name);
    yield;
  }
  for (const { name } of before.zones) {
    if (!after.positions.has(name)) changed.push(name);
    yield;
  }
  return changed;
}

/** Options for the rules that answer while upstreams are gone: for forwarding zones, and for EC2's own names of the configured Regions. */
export function disconnectedRules(config: Config, { forwarded }: Routes): DisconnectedRulesOptions {
  const { clusters } = config;
  return {
    zones: forwarded,
    regions: [...new Set(clusters.flatMap(({ region }) => region ?? []))],
    areSiteNamesAsked: siteGroup(config, defaultGroup(config)) !== undefined,
    vpcs: clusters.flatMap(({ region, vpcNetworks }) =>
      region === undefined ? [] : vpcNetworks.map((cidr) => ({ region, cidr })),
    ),
  };
}

/**
 * The texts of the upstreams that are this server itself, by the addresses that are really bound. A wildcard on a host that
 * does not list its addresses holds all of loopback. An address may also come after the file was checked.
 */
export function* upstreamsBoundHere(
  groups: readonly UpstreamGroup[],
  bound: readonly SocketAddress[],
  isHere: (address: string) => boolean,
): Steps<readonly string[]> {
  const isOver = (wildcard: string, address: string): boolean =>
    wildcard === (address.includes(':') ? '::' : '0.0.0.0') && (isLoopbackText(address) || isHere(address));
  const isOurs = ({ address, port }: Upstream) =>
    bound.some((here) => here.port === port && (here.address === address || isOver(here.address, address)));
  const ours: string[] = [];
  for (const { upstreams } of groups) {
    for (const one of upstreams) if (isOurs(one) && !ours.includes(one.text)) ours.push(one.text);
    yield;
  }
  return ours;
}

/** The configuration that runs. A room that reads it when it needs it sees the last reload. */
export interface ConfigInForce {
  config: Config;
  group: UpstreamGroup;
  routes: Routes;
}

export function inForceWith(config: Config, routes: Routes): ConfigInForce {
  return { config, group: defaultGroup(config), routes };
}

const PRIVATE = new ClientAccess([
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '127.0.0.0/8',
  '::1/128',
  'fe80::/10',
  'fc00::/7',
]);
/** Amazon's resolver at its link-local addresses, which every VPC has: it knows nothing of the site. */
const AMAZON = new ClientAccess(['169.254.169.253/32', 'fd00:ec2::253/128']);

/** The name of the group of upstreams on the site. No operator has a reason to write a zone with this name. */
const GROUP_NAME = '_outpost-dns.home.arpa';

/**
 * The route of names that a site may have for itself. `undefined` instead of an object: these names are denied at once. `all` is
 * the default group.
 */
export function siteNames(config: Config, all: UpstreamGroup): SiteNames<UpstreamGroup> | undefined {
  return config.forward.siteNames === 'never' ? undefined : { route: siteGroup(config, all) };
}

/**
 * The upstreams for names that a site may have for itself: reverse names of private addresses, `local`, `home.arpa` and
 * `test`. Upstreams on the site may know them. A public resolver does not, and learns from the questions which machines the
 * site has. With `forward.siteNames: auto` an upstream is on the site where one of these holds:
 *
 *     drill.onSite names its network    the operator has said so; no upstream outside these networks is then on the site
 *     its address is private            RFC 1918, RFC 6598, RFC 4193, link-local, loopback; Amazon's own excepted
 *
 * Where all upstreams are on the site it is the default group itself. `undefined`: no upstream may be asked.
 */
export function siteGroup(config: Config, all: UpstreamGroup): UpstreamGroup | undefined {
  if (config.forward.siteNames === 'never') return undefined;
  const asked =
    config.forward.siteNames === 'always' ? all.upstreams : all.upstreams.filter(isOnSite(config));
  if (asked.length === 0) return undefined;
  return asked.length === all.upstreams.length ? all : { name: GROUP_NAME, upstreams: asked };
}

function isOnSite({ drill }: Config): (upstream: Upstream) => boolean {
  const onSite = new ClientAccess(drill.onSite);
  return ({ address }) =>
    drill.onSite.length > 0
      ? onSite.isAllowed(address)
      : PRIVATE.isAllowed(address) && !AMAZON.isAllowed(address);
}
