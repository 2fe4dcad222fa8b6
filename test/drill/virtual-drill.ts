import { Drill, type DrillChange } from '../../src/drill/drill.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

/** The real drill in virtual time, where only the names of AWS fail by policy and nothing is retained. */
export function virtualDrill() {
  const time = new VirtualTime();
  const log = new CollectingLog();
  const changes: DrillChange[] = [];
  const drill = new Drill({
    clock: time,
    timers: time,
    log,
    onChange: (change) => changes.push(change),
    byPolicy: () => (name) => name.endsWith('.amazonaws.com'),
    retained: () => [],
  });
  return { drill, time, log, changes };
}
