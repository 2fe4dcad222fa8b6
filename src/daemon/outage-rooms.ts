/** The rooms that know of an outage, real or rehearsed: the link, its chronicle, the drill. */
import { Drill, type DrillChange } from '../drill/drill.ts';
import { LinkMonitor } from '../link/link-monitor.ts';
import { failsWhileDisconnected } from '../serving/local-zones/disconnected-rules.ts';
import type { ConfigInForce } from './config-in-force.ts';
import { linkEvent } from './ledger-events.ts';
import { LinkChronicle } from './link-chronicle.ts';
import type { DaemonParts } from './parts.ts';
import { disconnectedRules } from './routes.ts';
import type { StoreRooms } from './store-rooms.ts';

export type OutageRooms = ReturnType<typeof buildOutageRooms>;

/** `lookAgain` asks again for what may have come back; `onLinkBack` is called when AWS can be reached again. */
export function buildOutageRooms(
  { clock, timers, log }: DaemonParts,
  inForce: ConfigInForce,
  { ledger, answers }: Pick<StoreRooms, 'ledger' | 'answers'>,
  lookAgain: (reason: string) => void,
  onLinkBack: () => void,
) {
  const chronicle = new LinkChronicle({
    clock,
    timers,
    record: (place, change, agoMs) => ledger.record(linkEvent(place, change), agoMs),
  });
  const link = new LinkMonitor({
    clock,
    log,
    onRestored: ({ side }) => {
      if (side === 'aws') onLinkBack();
      lookAgain(`${side} reachable again`);
    },
    onTransition: (transition) => {
      chronicle.note(transition);
      if (transition.to === 'disconnected') answers.noteCut();
    },
    isRehearsed: (side, key) => side === 'aws' || inForce.routes.acrossLink.has(key),
  });
  const drill = new Drill({
    clock,
    timers,
    log,
    byPolicy: () => failsWhileDisconnected(disconnectedRules(inForce.config)),
    retained: () => inForce.config.retain,
    onChange: (change: DrillChange) => {
      ledger.record({ kind: 'drill', ...change });
      link.rehearse(change.phase === 'started');
      if (change.phase === 'started' || change.by === 'shutdown') return;
      onLinkBack();
      lookAgain('drill is over');
    },
  });
  return { chronicle, link, drill };
}
