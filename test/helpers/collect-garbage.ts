/** A full collection on demand, without a flag on the command line: what memory tests compare is what is held, not what is not yet swept. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
export const collectGarbage: () => void = runInNewContext('gc');
