/**
 * Preloaded into the server (`node --import`): writes which source files ran since the last time it was asked. Each thread of
 * the server answers for itself: V8 counts calls in each of them.
 */
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { join } from 'node:path';
import { isMainThread, threadName } from 'node:worker_threads';

const folder = process.env['EXECUTED_FILES'] ?? '';
const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });

let round = 0;
setInterval(() => {
  if (!existsSync(join(folder, `${round}.ask`))) return;
  const asked = round++;
  session.post('Profiler.takePreciseCoverage', (error, answer) => {
    if (error !== null) throw error;
    const ran = answer.result.filter(({ functions }) =>
      functions.some(({ ranges }) => ranges.some(({ count }) => count > 0)),
    );
    const text = JSON.stringify(ran.map(({ url }) => url));
    const file = join(folder, `${asked}.${isMainThread ? 'main' : threadName}`);
    writeFileSync(`${file}.part`, text);
    renameSync(`${file}.part`, `${file}.json`);
  });
}, 20).unref();
