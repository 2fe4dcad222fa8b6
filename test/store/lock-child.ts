import { writeSync } from 'node:fs';
import { DirectoryLock } from '../../src/store/state-backend.ts';

/** Holds the lock of the directory in its argument until it is killed; says on its output how it went. */
const lock = new DirectoryLock(process.argv[2] ?? '');
const outcome = await lock.claim();
globalThis.gc?.();
writeSync(1, `${outcome.kind}\n`);
setInterval(() => lock.latest, 60_000);
