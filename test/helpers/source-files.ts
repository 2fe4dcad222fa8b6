import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

export interface SourceFile {
  /** Path from `src/`, such as `serving/listener/tcp.ts`. */
  readonly path: string;
  readonly text: string;
  /** The text with comments and string contents blanked out, line for line. */
  readonly code: string;
  /** What it imports: paths from `src/` for our own files, package names for others. */
  readonly imports: readonly string[];
  /** Of these, what is loaded with it or by it later: all but what is imported for its types. */
  readonly loads: readonly string[];
}

/** Every TypeScript file under `src/`, or under another folder of the project; paths are from there. */
export function readSourceFiles(folder = 'src'): SourceFile[] {
  const root = new URL(`../../${folder}/`, import.meta.url);
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .sort()
    .map((path) => {
      const text = readFileSync(new URL(path, root), 'utf8');
      return {
        path,
        text,
        code: blankOut(text),
        imports: importsOf(path, text),
        loads: importsOf(path, withoutTypes(text)),
      };
    });
}

function withoutTypes(text: string): string {
  return text.replace(/(?:^|\n)(?:import|export) type\s[^;]*?from\s+'[^']+';/g, '');
}

function importsOf(path: string, text: string): string[] {
  const found = [
    ...text.matchAll(
      /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s+'([^']+)'|\b(?:import|getBuiltinModule)\('([^']+)'\)|(?:^|\n)import\s+'([^']+)'/g,
    ),
  ];
  return found.map((match) => {
    const target = match[1] ?? match[2] ?? match[3] ?? '';
    return target.startsWith('.') ? normalize(join(dirname(path), target)) : target;
  });
}

/** A small scanner rather than a parser: enough to tell code from comments, strings and templates. */
export function blankOut(text: string): string {
  return text.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g,
    (found) => found.replace(/[^\n]/g, ' '),
  );
}

/** Whether the file lies in the room, which is a folder or a file under `src/`. */
export const isIn = (path: string, room: string): boolean => path === room || path.startsWith(`${room}/`);

/** The lines with this pattern, each with its number. */
export function linesWith(code: string, pattern: RegExp): string[] {
  return code.split('\n').flatMap((line, at) => (pattern.test(line) ? [`${at + 1}: ${line.trim()}`] : []));
}
