import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import t from 'tap';
import { readLedger } from '../../src/store/ledger-reader.ts';

/** kill -9 at random moments while events are appended and files rotated constantly; KILLS sets how often. */
const KILLS = Number(process.env['KILLS'] ?? 50);

t.setTimeout(600_000 + KILLS * 600);

t.test(
  `after each of ${KILLS} kills the ledger can be read, and what was on the disk is there`,
  async (t) => {
    const base = t.testdir({ ledger: {} });
    const child = join(base, 'child.mjs');
    await build({
      entryPoints: [join(import.meta.dirname, 'ledger-child.ts')],
      outfile: child,
      bundle: true,
      platform: 'node',
      format: 'esm',
      // pino is CommonJS and asks for built-in modules by require
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    });
    const directory = join(base, 'ledger');
    const faults: string[] = [];
    let [next, torn, runsWithLines, total] = [1, 0, 0, 0];
    for (let kill = 1; kill <= KILLS && faults.length === 0; kill++) {
      const durable = await killOnce(child, directory, next, faults);
      const reading = await readLedger(directory);
      const numbers = reading.entries.flatMap(({ event }) =>
        event?.kind === 'stop' ? [Number(event.reason.split(' ')[1])] : [],
      );
      const sequences = reading.entries.map(({ sequence }) => sequence);
      const after = `kill ${kill}, from ${next}, durable ${durable}`;
      const last = Math.max(0, ...numbers);
      if (reading.faults.length > 0) faults.push(`${after}: ${JSON.stringify(reading.faults)}`);
      if (last < durable) faults.push(`${after}: the last is ${last}`);
      if (numbers.some((number, at) => at > 0 && number <= (numbers[at - 1] ?? 0)))
        faults.push(`${after}: order`);
      const expected = Array.from({ length: Math.max(0, durable - next + 1) }, (_, at) => next + at);
      const found = new Set(numbers);
      if (expected.some((number) => !found.has(number))) faults.push(`${after}: a durable one is missing`);
      if (sequences.some((sequence, at) => at > 0 && sequence !== (sequences[at - 1] ?? 0) + 1)) {
        faults.push(`${after}: the sequence has a gap or a step back`);
      }
      if (reading.malformed > kill) faults.push(`${after}: ${reading.malformed} malformed lines`);
      torn = reading.malformed;
      if (durable >= next) runsWithLines++;
      total = Math.max(total, last);
      next = last + 1;
      if (readdirSync(directory).length > 80) {
        for (const name of readdirSync(directory)) rmSync(join(directory, name)); // before the bound on files is reached
      }
    }
    t.strictSame(faults, []);
    t.ok(runsWithLines > KILLS / 2, `the kills met appends: ${runsWithLines} of ${KILLS}`);
    t.comment(`kills ${KILLS}, events ${total}, torn lines in the last ledger ${torn}`);
  },
);

/** Resolves to the last number that was announced as durable, or 0. */
async function killOnce(
  program: string,
  directory: string,
  first: number,
  faults: string[],
): Promise<number> {
  const child = spawn(process.execPath, [program, directory, String(first)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [durable, said] = [0, ''];
  const begun = Promise.withResolvers<void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    durable = Number(/durable (\d+)\n[^\n]*$/.exec(said)?.[1] ?? durable);
    begun.resolve();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => faults.push(text));
  const closed = once(child, 'close');
  // most kills meet the appends, some the start
  if (Math.random() < 0.85) await Promise.race([begun.promise, closed]);
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
  child.kill('SIGKILL');
  const [code, signal] = await closed;
  if (signal !== 'SIGKILL') faults.push(`the child ended by itself with ${code}`);
  return durable;
}
