/** The strings at `_status.<endpoint>` TXT: what a person with dig and nothing else needs at 3 a.m. */
import type { LinkReport } from '../link/link-monitor.ts';
import type { ClusterSnapshot } from '../refresh/cluster-report.ts';
import { isInTrouble } from '../refresh/credential-state.ts';

const MAX_STRING_OCTETS = 255; // RFC 1035 section 3.3

export function statusText(
  cluster: ClusterSnapshot | undefined,
  link: LinkReport,
  nowMs: number,
): readonly string[] {
  const { condition, reason, sinceMs } = link.summary;
  const because = condition === 'connected' || condition === 'unknown' ? '' : `: ${reason}`;
  const strings = [`link=${condition} for ${age(nowMs - sinceMs)}${because}`];
  if (cluster !== undefined) {
    const { confirmedAgoMs, addresses, basis, sources, held, credentials } = cluster;
    strings.push(`age=${confirmedAgoMs === undefined ? 'unknown' : age(confirmedAgoMs)}`);
    strings.push(`addresses=${addresses.length} basis=${basis}`);
    for (const { source, latest, lastSuccessAgoMs, lastFailure } of sources) {
      const success = lastSuccessAgoMs === undefined ? 'never' : `${age(lastSuccessAgoMs)} ago`;
      const failure =
        latest === 'failed' && lastFailure !== undefined ? ` failing: ${lastFailure.reason}` : '';
      strings.push(`${source}=${success}${failure}`);
    }
    if (credentials !== undefined && isInTrouble(credentials))
      strings.push(`credentials=${credentials.condition} for ${age(credentials.sinceAgoMs)}`);
    if (held !== undefined) strings.push(`held=${held.addresses.join(',')}`);
  }
  return strings.map((text) => Buffer.from(text).subarray(0, MAX_STRING_OCTETS).toString());
}

function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)}h`;
  return `${Math.round(seconds / 86_400)}d`;
}
