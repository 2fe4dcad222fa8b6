/** What a sound configuration still leaves to chance in an outage, or decides against the sources; pure. */
import type { Config } from '../config/config.ts';
import { defaultGroup } from '../daemon/room-options.ts';
import { siteGroup } from '../daemon/site-names.ts';
import { isAtOrUnder } from '../protocol/words/name.ts';
import { SPECIAL_NAMES } from '../protocol/words/special-names.ts';
import { clusterText } from '../records/cluster-identity.ts';
import { type Finding, warning } from './finding.ts';
import { socketText } from './status-client.ts';

export function configFindings(config: Config): readonly Finding[] {
  const { clusters, upstreams } = config;
  const pinned = clusters.filter(({ pin }) => pin.length > 0);
  return [
    ...pinned.map((cluster) =>
      warning(
        `the addresses of cluster "${clusterText(cluster, clusters)}" are pinned to ${cluster.pin.join(', ')}: what the sources say is not served`,
        'take clusters[].pin out once the sources are right again: "outpost-dns status" shows what they say',
      ),
    ),
    ...singleUpstream(upstreams),
    ...deniedSiteNames(config),
  ];
}

/** On a site with Active Directory on .local, or with reverse names of nodes, their denial breaks things on the first day. */
function deniedSiteNames(config: Config): readonly Finding[] {
  if (config.forward.siteNames === 'never' || siteGroup(config, defaultGroup(config)) !== undefined)
    return [];
  const zones = config.zones.map(({ name }) => name);
  const denied = SPECIAL_NAMES.filter(
    ({ name, isOfSite }) => isOfSite && !zones.some((zone) => isAtOrUnder(name, zone)),
  );
  if (denied.length === 0) return [];
  const some = denied.slice(0, SHOWN).map(({ name }) => name);
  const more = denied.length > SHOWN ? ` and ${denied.length - SHOWN} more (docs/special-names.md)` : '';
  return [
    warning(
      `no upstream is on the site, so names that the site may have for itself are denied: ${some.join(', ')}${more}`,
      'add a zone with forwardTo for those that the site has, name its resolvers in drill.onSite, or set forward.siteNames',
    ),
  ];
}

const SHOWN = 4;

function singleUpstream(upstreams: Config['upstreams']): readonly Finding[] {
  const [only, ...others] = upstreams;
  if (only === undefined || others.length > 0) return [];
  return [
    warning(
      `there is a single upstream, "${socketText({ host: only.address, port: only.port })}": while it is away, no other name is forwarded`,
      'add a second one to upstreams, best one on this site',
    ),
  ];
}
