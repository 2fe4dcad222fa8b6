/**
 * Records when a processor of this machine stood still: the host of a virtual machine takes processors away for 10 ms and
 * more, whatever the programs do. This program has the highest priority on its processor, wakes up every millisecond, and
 * reports each time when it could not.
 *
 *     taskset --cpu-list N chrt --fifo 2 node processor-watch.ts
 *
 * A line for each stop: when it began and when it was over, in ms since 1970.
 */
import { writeSync } from 'node:fs';

const EVERY_MS = 1;
const LATE_MS = 2;

const cell = new Int32Array(new SharedArrayBuffer(4));
console.log('ready');
for (let lastMs = performance.now(); ; ) {
  Atomics.wait(cell, 0, 0, EVERY_MS);
  const nowMs = performance.now();
  if (nowMs - lastMs > EVERY_MS + LATE_MS) {
    const { timeOrigin } = performance;
    writeSync(1, `${timeOrigin + lastMs + EVERY_MS} ${timeOrigin + nowMs}\n`);
  }
  lastMs = nowMs;
}
