import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Test } from 'tap';
import { FarSide, type FarSideOptions } from '../../src/far-side/far-side.ts';
import { DIRECT } from '../../src/far-side/outbound.ts';
import { systemClock, systemTimers } from '../../src/runtime/clock.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { PATIENCE_MS } from '../helpers/patience.ts';
import { API_NAME } from './api-server.ts';
import { contextOf } from './polling.ts';
import { startRegion } from './region.ts';

export const soon = () => AbortSignal.timeout(PATIENCE_MS);

/** Polls a cluster of this name; the program of a test reads the name as an order. */
export function asking(farSide: FarSide) {
  return (cluster: string, signal = soon()) => farSide.poll('cluster', {}, contextOf({ cluster }), signal);
}

/** The thread, which takes the environment as it is when it starts. */
export async function apart(t: Test) {
  const sandbox = await startRegion(t);
  const log = new CollectingLog();
  const farSide = new FarSide({ clock: systemClock, timers: systemTimers, log, outbound: DIRECT });
  t.teardown(() => farSide[Symbol.dispose]());
  return { sandbox, farSide };
}

/** A thread with a program of the test. */
export function withProgram(t: Test, text: string, options: Partial<FarSideOptions> = {}) {
  const alive = setInterval(() => undefined, 1000); // the thread does not keep this process alive
  t.teardown(() => clearInterval(alive));
  const directory = mkdtempSync(join(tmpdir(), 'outpost-dns-thread-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'thread.mjs');
  writeFileSync(path, `import { parentPort } from 'node:worker_threads';\n${text}`);
  const log = new CollectingLog();
  const farSide = new FarSide({
    clock: systemClock,
    timers: systemTimers,
    log,
    outbound: DIRECT,
    program: pathToFileURL(path),
    ...options,
  });
  t.teardown(() => farSide[Symbol.dispose]());
  return { farSide, ask: asking(farSide), log };
}

/** The API servers of a cluster on loopback. */
export const context = contextOf({ endpoint: API_NAME, knownAddresses: ['127.0.0.1'] });
