/** The floor: a loop in C that appends three fixed records to whatever it is asked. It is no server, and shows what the kernel alone costs. */
import { type Contender, versionOf } from '../contender.ts';

export const FLOOR = 'bare C loop';

/** `compiled()` makes the program of it, or gives undefined where there is no compiler. */
export function bareLoop(compiled: () => string | undefined): Contender {
  return {
    name: FLOOR,
    debianPackage: 'gcc libc6-dev',
    rows: ['endpoint', 'latency', 'cold'],
    version: () => (compiled() === undefined ? undefined : `gcc ${versionOf('gcc', '--version')}`),
    async prepare(task) {
      const program = compiled();
      if (program === undefined) throw new Error('the bare loop is not compiled');
      return [program, String(task.port), String(task.addresses.length)];
    },
  };
}
