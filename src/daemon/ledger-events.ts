/** Turns the changes that the rooms report into events of the ledger. Pure. */
import type { LastingChange } from '../link/lasting-changes.ts';
import type { LinkTransition } from '../link/link-monitor.ts';
import type { ClusterSnapshot } from '../refresh/cluster-report.ts';
import { REASON_TEXT } from '../refresh/proof-report.ts';
import type { Change } from '../refresh/reconcile/changes.ts';
import type { LedgerEvent } from '../store/ledger-format.ts';
import type { LoadFault } from '../store/state-backend.ts';

export function linkEvent(
  { side, key }: Pick<LinkTransition, 'side' | 'key'>,
  { atMs: _, ...change }: LastingChange,
): LedgerEvent {
  return { kind: 'link', side, key, ...change };
}

/** Only changes that a person searches for after months: a failed poll and a change of the basis are not among them. */
export function changeEvents(cluster: ClusterSnapshot, changes: readonly Change[]): readonly LedgerEvent[] {
  const { region } = cluster;
  const place = { cluster: cluster.cluster, ...(region === undefined ? {} : { region }) };
  return changes.flatMap((change): readonly LedgerEvent[] => {
    switch (change.kind) {
      case 'addresses':
        return [{ kind: 'addresses', ...place, ...addressesEvent(cluster, change) }];
      case 'endpoint': {
        const { from, to } = change;
        return [{ kind: 'endpoint', ...place, ...(from === undefined ? {} : { from }), to }];
      }
      case 'held': {
        const { addresses, reason } = change.held;
        return [{ kind: 'held', ...place, outcome: 'held', addresses, reason }];
      }
      case 'released': {
        const { addresses, reason } = change.held;
        return [{ kind: 'held', ...place, outcome: change.outcome, addresses, reason }];
      }
      case 'withheld': {
        const { address, isWithheld, reason } = change;
        const why = reason === undefined ? {} : { reason: REASON_TEXT[reason] };
        return [{ kind: 'withheld', ...place, address, phase: isWithheld ? 'left' : 'came', ...why }];
      }
      case 'pinned': {
        const { addresses, why, by: pinnedBy, sinceMs, untilMs } = change.pin;
        const forMs = Math.round(untilMs - sinceMs);
        return [{ kind: 'pin', phase: 'started', ...place, addresses, why, pinnedBy, forMs }];
      }
      case 'unpinned': {
        const { by, pin, ranMs } = change;
        return [{ kind: 'pin', phase: 'ended', ...place, addresses: pin.addresses, by, ranMs }];
      }
      default:
        return [];
    }
  });
}

function addressesEvent(
  { endpoint, addresses, sources }: ClusterSnapshot,
  { added, removed, basis }: Extract<Change, { kind: 'addresses' }>,
) {
  const after = addresses.map(({ address }) => address);
  const before = [...after.filter((address) => !added.includes(address)), ...removed];
  const seen = sources.flatMap((source) =>
    source.addresses === undefined ? [] : [[source.source, source.addresses] as const],
  );
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    before,
    after,
    basis,
    seen: Object.fromEntries(seen),
  };
}

export function setAsideEvent({ path, reason, detail, setAsideTo }: LoadFault): LedgerEvent {
  return {
    kind: 'set-aside',
    path,
    reason,
    detail,
    ...(setAsideTo === undefined ? {} : { to: setAsideTo }),
  };
}
