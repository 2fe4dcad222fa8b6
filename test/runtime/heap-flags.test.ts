/** Under which flags V8 takes compiled code, and that a thread's heap goes back although the flag for it is put back. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const FLAGS = JSON.stringify(join(root, 'src', 'runtime', 'memory.ts'));

/** What `script` prints, as JSON; it has `flags` and `tag`, which is V8's mark of compiled code. */
async function printed(script: string, ...options: readonly string[]): Promise<Record<string, unknown>> {
  const head = `import { cachedDataVersionTag as tag } from 'node:v8'; const flags = await import(${FLAGS});`;
  const { stdout } = await run(process.execPath, [...options, '--input-type=module', '-e', head + script]);
  return JSON.parse(stdout);
}

/** The option of the launcher that is a flag of V8. */
async function flagOfLauncher(): Promise<string> {
  const launcher = await readFile(join(root, 'bin', 'outpost-dns'), 'utf8');
  return /^heap='(--\S+)'$/m.exec(launcher)?.[1] ?? 'no flag';
}

const TAGS = `
  const tags = { start: tag() };
  flags.loadWithNodesCode();
  tags.loading = tag();
  const late = Promise.withResolvers();
  const loaded = flags.loadLate(() => late.promise);
  flags.setWorkFlags();
  tags.late = tag();
  late.resolve();
  await loaded;
  tags.work = tag();
  await flags.loadLate(async () => { tags.again = tag(); throw new Error('no file'); }).catch(() => undefined);
  tags.afterFault = tag();
  console.log(JSON.stringify(tags));`;

t.test('modules are loaded under the flags of Node itself', async (t) => {
  const { start: own } = await printed(TAGS);
  const tags = await printed(TAGS, await flagOfLauncher());
  t.not(tags['start'], own, 'the launcher has a flag that makes V8 refuse the code that Node carries');
  const { loading, late, again } = tags;
  t.strictSame({ loading, late, again }, { loading: own, late: own, again: own });
  t.not(tags['work'], own);
  t.equal(tags['afterFault'], tags['work'], 'a module that cannot be loaded changes nothing');
});

t.test('the flags are set without node:v8, and with it where node:ffi is denied', async (t) => {
  const script = `const flags = await import(${FLAGS}); flags.loadWithNodesCode();
    console.log(process.moduleLoadList.includes('NativeModule v8'));`;
  const isLoaded = async (...options: readonly string[]) => {
    const all = [await flagOfLauncher(), ...options, '--input-type=module', '-e', script];
    return (await run(process.execPath, all)).stdout.trim();
  };
  t.equal(await isLoaded(), 'false');
  t.equal(await isLoaded('--no-experimental-ffi'), 'true');
  const { start: own } = await printed(TAGS);
  t.equal((await printed(TAGS, await flagOfLauncher(), '--no-experimental-ffi'))['loading'], own);
});

t.test('a runtime that the launcher found elsewhere keeps its flags', async (t) => {
  const tags = await printed(TAGS);
  t.equal(new Set(Object.values(tags)).size, 1);
});

t.test('the heap of a thread goes back to the system', { skip: process.platform !== 'linux' }, async (t) => {
  const script = `
    import { readFileSync } from 'node:fs';
    import { Worker } from 'node:worker_threads';
    import { once } from 'node:events';
    const resident = () => Number(/VmRSS:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
    flags.loadWithNodesCode();
    const thread = new Worker(
      'const all = []; for (let n = 0; n < 6e5; n++) all.push({ n, all: [n] });' +
      'const port = process.getBuiltinModule("node:worker_threads").parentPort; port.postMessage(1); port.once("message", () => all.length)',
      { eval: true });
    await once(thread, 'message');
    const with_ = resident();
    thread.terminate();
    await once(thread, 'exit');
    console.log(JSON.stringify({ with: with_, after: resident() }));`;
  const { with: full, after } = await printed(script, await flagOfLauncher());
  t.ok(Number(full) - Number(after) > 50, `${full} MiB, then ${after}`);
});
