/** What a sound configuration still leaves to chance in an outage, or decides against the sources; pure. */
import type { Config } from '../config/config.ts';
import { type Finding, warning } from './finding.ts';
import { socketText } from './status-client.ts';

export function configFindings({
  clusters,
  upstreams,
}: Pick<Config, 'clusters' | 'upstreams'>): readonly Finding[] {
  const pinned = clusters.filter(({ pin }) => pin.length > 0);
  return [
    ...pinned.map(({ name, pin }) =>
      warning(
        `the addresses of cluster "${name}" are pinned to ${pin.join(', ')}: what the sources say is not served`,
        'take clusters[].pin out once the sources are right again: "outpost-dns status" shows what they say',
      ),
    ),
    ...singleUpstream(upstreams),
  ];
}

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
