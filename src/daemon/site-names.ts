/**
 * Who is asked about names that a site may have for itself: reverse names of private addresses, `local`, `home.arpa` and
 * `test`. Upstreams on the site may know them. A public resolver does not, and learns from the questions which machines
 * there are; nor is it asked across the link what only the site can know. With `forward.siteNames: auto` an upstream is
 * on the site where one of these holds:
 *
 *     drill.onSite names its network    the operator has said so; upstreams outside of these networks are not then
 *     its address is private            RFC 1918, RFC 6598, RFC 4193, link-local, loopback; Amazon's own excepted
 */
import type { Config } from '../config/config.ts';
import type { Upstream, UpstreamGroup } from '../serving/forwarder/upstream.ts';
import { ClientAccess } from '../serving/listener/clients.ts';
import type { SiteNames } from '../serving/local-zones/local-zones.ts';

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

/** Unlike every zone that an operator has a reason to write. */
const GROUP_NAME = '_outpost-dns.home.arpa';

/** `undefined`: they are denied at once. `all` is the default group. */
export function siteNames(config: Config, all: UpstreamGroup): SiteNames<UpstreamGroup> | undefined {
  return config.forward.siteNames === 'never' ? undefined : { route: siteGroup(config, all) };
}

/** The upstreams that are asked, as a group; the default one where that is all of them. */
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
