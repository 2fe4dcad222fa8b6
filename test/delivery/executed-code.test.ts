/** The build keeps the compiled code of functions that have run, in the form in which Node takes it. */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { codeIn, keptSourceKey, sourceKey, withCode } from '../../scripts/code-file.ts';

const run = promisify(execFile);
const HOOK = join(import.meta.dirname, '..', '..', 'scripts', 'executed-code.ts');

/** A program of many functions that run when it starts. */
const FUNCTIONS = Array.from(
  { length: 200 },
  (_, n) => `export function f${n}(of) { return of.map((x) => x * ${n}); }`,
);
const PROGRAM = [...FUNCTIONS, ...FUNCTIONS.map((_, n) => `f${n}([1]);`)].join('\n');

async function keptCode(folder: string, ...options: readonly string[]): Promise<Buffer> {
  const cache = join(folder, 'cache');
  const env = { PATH: process.env['PATH'], NODE_COMPILE_CACHE: cache };
  await run(process.execPath, [...options, join(folder, 'main.js')], { env });
  const key = sourceKey(readFileSync(join(folder, 'main.js')));
  const paths = readdirSync(cache, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const files = paths.map(({ parentPath, name }) => readFileSync(join(parentPath, name)));
  const file = files.find((one) => keptSourceKey(one) === key);
  if (file === undefined) throw new Error('no code is kept');
  return codeIn(file);
}

function program(folder: string): string {
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  writeFileSync(join(folder, 'main.js'), PROGRAM);
  return folder;
}

t.test('functions that have run are in the code, and Node takes it', async (t) => {
  const room = t.testdir();
  const plain = await keptCode(program(join(room, 'plain')));
  const folder = program(join(room, 'whole'));
  const whole = await keptCode(folder, '--expose-internals', '--require', HOOK);
  t.ok(
    whole.length > 1.3 * plain.length,
    `${plain.length} octets by Node, ${whole.length} with what has run`,
  );

  const env = { NODE_COMPILE_CACHE: join(folder, 'cache'), NODE_DEBUG_NATIVE: 'COMPILE_CACHE' };
  const { stderr } = await run(process.execPath, [join(folder, 'main.js')], { env });
  t.match(stderr, /main\.js was accepted/);
});

t.test('code that an earlier run has kept stays', async (t) => {
  const folder = program(join(t.testdir(), 'kept'));
  const plain = await keptCode(folder);
  t.same(await keptCode(folder, '--expose-internals', '--require', HOOK), plain);
});

t.test('a file of another form is no code', (t) => {
  const file = withCode(Buffer.alloc(20), Buffer.from('code'));
  t.equal(codeIn(file).toString(), 'code');
  t.throws(() => codeIn(file.subarray(0, -1)), { message: /another form/ });
  file.writeUInt8(0, 20);
  t.throws(() => codeIn(file), { message: /another form/ });
  t.end();
});
