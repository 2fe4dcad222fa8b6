import { writeSync } from 'node:fs';
import { lockStateDirectory } from '../../src/store/single-writer.ts';

/** Holds the lock of the directory in its argument until it is killed; says on its output how it went. */
const outcome = await lockStateDirectory(process.argv[2] ?? '');
globalThis.gc?.();
writeSync(1, `${outcome.kind}\n`);
setInterval(() => {}, 60_000);
