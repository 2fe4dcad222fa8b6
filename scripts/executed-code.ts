/**
 * Loaded into each process and thread of the build's run (warm.ts): makes the compiled code of our modules whole. Node keeps a
 * module's code from the moment when the module has been compiled. No function has run then, V8 has compiled next to none, and a
 * start would compile each function when it first runs. So V8 gives the code again here, with the functions that have run.
 *
 * It uses insides of Node, while building only. A start checks the code as ever: what V8 refuses is compiled.
 */
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire, flushCompileCache, getCompileCacheDir } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { isMainThread, threadId } from 'node:worker_threads';
import { WHILE_LOADING } from '../src/runtime/memory.ts';
import { codeIn, keptSourceKey, sourceKey, withCode } from './code-file.ts';

interface Insides {
  readonly 'internal/test/binding': {
    internalBinding(name: 'module_wrap'): {
      readonly ModuleWrap: new (
        url: string,
        context: undefined,
        source: string,
        line: number,
        column: number,
        options: symbol,
      ) => { createCachedData(): Buffer };
    };
    internalBinding(name: 'symbols'): { readonly source_text_module_default_hdo: symbol };
  };
  readonly 'internal/modules/esm/loader': {
    getOrInitializeCascadedLoader(): { readonly loadCache: ReadonlyMap<string, unknown> };
  };
}
const inside: <Name extends keyof Insides>(name: Name) => Insides[Name] = createRequire(import.meta.url);
const { internalBinding } = inside('internal/test/binding');
const { ModuleWrap } = internalBinding('module_wrap');
const { source_text_module_default_hdo } = internalBinding('symbols');

/** A thread is ended from outside, and gets no word of it. */
const THREAD_EVERY_MS = 2_000;

/** Code that an earlier process has kept stays as it is: the first run was a start, and later starts need no more. */
const before = isMainThread ? codeFiles() : new Set<string>();
if (isMainThread) process.on('exit', () => orEnd(keepCode));
else setInterval(() => orEnd(keepCode), THREAD_EVERY_MS).unref();

/** The program survives defects, and the build must not. */
function orEnd(work: () => void): void {
  try {
    work();
  } catch (error) {
    console.error(error);
    process.kill(process.pid, 'SIGKILL');
  }
}

function keepCode(): void {
  flushCompileCache();
  const paths = [...codeFiles()].filter((path) => !before.has(path));
  const byModule = new Map(paths.map((path) => [keptSourceKey(readFileSync(path)), path]));
  const counts = { found: 0, kept: 0 };
  if (isMainThread) for (const flag of WHILE_LOADING) setFlagsFromString(flag);
  for (const url of inside('internal/modules/esm/loader').getOrInitializeCascadedLoader().loadCache.keys()) {
    if (!/^file:.*\.js$/.test(url)) continue; // this file is loaded, too
    const source = readFileSync(fileURLToPath(url));
    const path = byModule.get(sourceKey(source));
    if (path === undefined) continue;
    counts.found++;
    // V8 finds the module that it has compiled by its source and its URL
    const module = new ModuleWrap(url, undefined, source.toString(), 0, 0, source_text_module_default_hdo);
    const code = module.createCachedData();
    const kept = readFileSync(path);
    // main.js is compiled before the flags of the launcher are put back; and a thread may end while the main loop loads
    if (!code.subarray(0, V8_HEAD_OCTETS).equals(codeIn(kept).subarray(0, V8_HEAD_OCTETS))) continue;
    const next = `${path}.${process.pid}.${threadId}`;
    writeFileSync(next, withCode(kept, code), { mode: 0o600 });
    renameSync(next, path);
    counts.kept++;
  }
  if (isMainThread && counts.found > 0 && counts.kept === 0)
    throw new Error('V8 would refuse this code: it was made under other flags');
}

function codeFiles(): Set<string> {
  const folder = getCompileCacheDir();
  if (folder === undefined) return new Set();
  // another process may be writing beside them, in files with longer names
  const names = readdirSync(folder).filter((name) => /^[0-9a-f]+$/.test(name));
  return new Set(names.map((name) => join(folder, name)));
}

/** V8's own head of the code: its version, the source, its flags, the snapshot that it starts from. The length of the rest follows. */
const V8_HEAD_OCTETS = 20;
