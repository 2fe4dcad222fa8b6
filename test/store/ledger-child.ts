import { writeSync } from 'node:fs';
import { createProcessLog } from '../../src/log/pino-log.ts';
import { systemClock, systemTimers } from '../../src/runtime/clock.ts';
import { Ledger } from '../../src/store/ledger.ts';

/**
 * Records numbered events into the directory in its argument until it is killed, in small files so that rotations are
 * killed too. Says `durable n` once all up to n are on the disk; the lines are in the pipe when the call returns.
 */
const [directory = '', first = '1'] = process.argv.slice(2);
const { log } = createProcessLog({ level: 'error', format: 'json' });
const ledger = new Ledger(
  { directory, maxOctets: 2000, olderFiles: 99 },
  { clock: systemClock, timers: systemTimers, log },
);
let number = Number(first);
ledger.record({ kind: 'start', version: '0', runtime: 'test', endpoints: 0 });
for (;;) {
  const batch = 1 + (number % 5);
  for (let more = 0; more < batch; more++) {
    ledger.record({ kind: 'stop', reason: `number ${number++} ${'x'.repeat(number % 400)}` });
  }
  await ledger.flush();
  const { lost, failures } = ledger.state();
  if (lost + failures > 0) throw new Error(JSON.stringify(ledger.state()));
  writeSync(1, `durable ${number - 1}\n`);
}
