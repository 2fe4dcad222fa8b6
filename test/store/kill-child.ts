import { writeSync } from 'node:fs';
import { systemClock, systemTimers } from '../../src/runtime/clock.ts';
import { systemRandom } from '../../src/runtime/random.ts';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import { FileBackend } from '../../src/store/state-backend.ts';
import { StateStore } from '../../src/store/state-store.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { setNumber, wholeSet } from './record-sets.ts';

/**
 * Saves ever-changing sets into the directory in its argument until it is killed. Says `loaded n`, then `begun n` before
 * each save and `durable n` after it. The lines are in the pipe when the call returns, so a kill cannot lose them.
 */
const backend = new FileBackend(process.argv[2] ?? '', { random: systemRandom });
const parts = { clock: systemClock, timers: systemTimers, log: new CollectingLog() };
const store = new StateStore(ENDPOINTS, backend, parts);
const loaded = await store.load();
let number = loaded.kind === 'loaded' ? (setNumber(loaded.content) ?? Number.NaN) : 0;
writeSync(1, `loaded ${number}\n`);
while (Number.isFinite(number)) {
  // Several at once, so that coalesced saves are killed too.
  const saves = Array.from({ length: 1 + (number % 3) }, () => save(++number));
  await Promise.all(saves);
}

async function save(asked: number): Promise<void> {
  writeSync(1, `begun ${asked}\n`);
  const outcome = await store.save(wholeSet(asked));
  if (outcome.kind !== 'saved') throw new Error(`save ${asked}: ${JSON.stringify(outcome)}`);
  writeSync(1, `durable ${asked}\n`);
}
