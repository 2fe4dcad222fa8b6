/**
 * When a processor of this machine stood still: the host of a virtual machine takes its processors away for 10 ms and more, which is no
 * Records when a processor of this machine stood still: the host of a virtual machine takes processors away for 10 ms and
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
