/**
 * Parses the text of the configuration file into plain data with the place of every value. It opens no file. YAML 1.2 core
 * only: no other tags, no merge keys, no directives, one document. Depth, aliases and the count of nodes are bounded.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import { type Path, pathText, shortened } from './fault.ts';

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface TreeFault extends Partial<Position> {
  readonly path: Path;
  readonly message: string;
  readonly fix: string;
}

export interface YamlTree {
  readonly data: unknown;
  /** Whether the data is complete; otherwise nothing follows from what is missing in it. */
  readonly isWhole: boolean;
  readonly faults: readonly TreeFault[];
  /** Returns the start of a path's value; undefined for a path that the text does not contain. */
  valuePosition(path: Path): Position | undefined;
  /** Returns the start of the last key of a path. */
  keyPosition(path: Path): Position | undefined;
  /** A number as it is written, where that is not its usual form: `0123`, which is 123. */
  writtenNumber(path: Path): string | undefined;
}

const MAX_DEPTH = 16; // the deepest key that is declared lies at 4
const MAX_NODES = 200_000; // 10,000 zones of 16 lines; values repeated by aliases count again
const MAX_ALIASES = 100; // each costs a walk over the nodes
const MAX_SYNTAX_FAULTS = 10; // one slip causes many errors of the parser

export function readYaml(text: string): YamlTree {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    resolveKnownTags: false,
    strict: true,
    uniqueKeys: false, // the parser's own check takes time in the square of the keys; ours is in TreeReader
    prettyErrors: false,
    logLevel: 'error', // "silent" would accept the first of two documents
    lineCounter: lines,
  });
  const warnings = document.warnings.filter((warning) => warning.code !== 'TAG_RESOLVE_FAILED'); // TreeReader names the key too
  const syntax = [...document.errors, ...warnings].slice(0, MAX_SYNTAX_FAULTS);
  if (syntax.length === 0) return new TreeReader(document, lines).read();
  const hidden = hiddenFaults(text, lines);
  const faults = hidden.length > 0 ? hidden : syntax.map((error) => syntaxFault(error, lines));
  return {
    data: undefined,
    isWhole: false,
    faults,
    valuePosition: () => undefined,
    keyPosition: () => undefined,
    writtenNumber: () => undefined,
  };
}

/** In place of the words of the parser. */
const SYNTAX_MESSAGES: Readonly<Record<string, string>> = {
  MULTIPLE_DOCS: 'a second document',
  RESOURCE_EXHAUSTION: 'nested too deeply',
};

const SYNTAX_FIXES: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'indent with spaces',
  BAD_ALIAS: 'put the value in quotes',
  BAD_SCALAR_START: 'put the value in quotes',
  MULTIPLE_DOCS: 'keep one document: remove the "---" and the lines after it',
  TAG_RESOLVE_FAILED: 'remove the tag, or quote a value that starts with "!"',
  BAD_DIRECTIVE: 'remove the directive',
  RESOURCE_EXHAUSTION: 'no key lies as deep as this',
  KEY_OVER_1024_CHARS: 'check the ":" and the quotes of this line',
};

/** Characters that look like a space or a dash, or like nothing, in a text that is no YAML: the words of the parser would be about a place after them. */
function hiddenFaults(text: string, lines: LineCounter): readonly TreeFault[] {
  const faults: TreeFault[] = [];
  for (const { 0: character, 1: comment, index } of text.matchAll(HIDDEN)) {
    if (comment !== undefined) continue; // they are allowed there
    const [message, fix] = hiddenWords(character);
    faults.push({ ...placeOf(lines, index), path: [], message, fix });
    if (faults.length === MAX_SYNTAX_FAULTS) break;
  }
  return faults;
}

const HIDDEN =
  /((?:^|[ \t])#[^\r\n\0]*)|[\0\u00a0\u00ad\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]|\r(?!\n)|(?<=^[ \t]*)[\u2010-\u2015\u2212]/gmu;

function hiddenWords(character: string): readonly [message: string, fix: string] {
  if (character === '\0') return ['a NUL octet', 'save the file as UTF-8 text; is it the right file?'];
  if (character === '\r')
    return ['a line that ends with CR alone', 'save the file with line ends of Unix (LF)'];
  const code = character.charCodeAt(0);
  const name = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  return DASHES.test(character)
    ? [`a dash (${name}) that is no "-"`, 'write "-"']
    : [
        `a space or an invisible character (${name}) that YAML does not take as a space`,
        'write a space, or remove it',
      ];
}

const DASHES = /[\u2010-\u2015\u2212]/u;

function syntaxFault(error: YAMLError, lines: LineCounter): TreeFault {
  const text = SYNTAX_MESSAGES[error.code] ?? error.message;
  const message = shortened(text.charAt(0).toLowerCase() + text.slice(1));
  const fix =
    SYNTAX_FIXES[error.code] ??
    'check indentation, quotes, and the space after "-" and ":", here and on the line above';
  return { ...placeOf(lines, error.pos[0]), path: [], message, fix };
}

function placeOf(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) }; // an empty text has line 0
}

class TreeReader {
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;
  readonly #values = new Map<string, number>();
  readonly #keys = new Map<string, number>();
  readonly #numbers = new Map<string, string>();
  readonly #faults: TreeFault[] = [];
  #nodes = 0;
  #aliases = 0;
  /** Set when a value cannot be read: all values after it are left out, and one fault says so. */
  #isIncomplete = false;

  constructor(document: Document.Parsed, lines: LineCounter) {
    this.#document = document;
    this.#lines = lines;
  }

  read(): YamlTree {
    this.#checkDirectives();
    const data = this.#valueOf(this.#document.contents, [], undefined);
    const position = (offsets: Map<string, number>, path: Path): Position | undefined => {
      const offset = offsets.get(pathText(path));
      return offset === undefined ? undefined : placeOf(this.#lines, offset);
    };
    return {
      data,
      isWhole: !this.#isIncomplete,
      faults: this.#faults,
      valuePosition: (path) => position(this.#values, path),
      keyPosition: (path) => position(this.#keys, path),
      writtenNumber: (path) => this.#numbers.get(pathText(path)),
    };
  }

  #checkDirectives(): void {
    const { yaml, tags } = this.#document.directives;
    const isPlain =
      (!yaml.explicit || yaml.version === '1.2') && Object.keys(tags).every((tag) => tag === '!!');
    if (!isPlain)
      this.#report(0, [], 'a directive other than "%YAML 1.2"', 'remove the lines that start with "%"');
  }

  /** `from` is where the value is used, when it is reached through an alias. */
  #valueOf(node: unknown, path: Path, from: number | undefined): unknown {
    const offset = from ?? offsetOf(node);
    if (offset !== undefined) this.#values.set(pathText(path), offset);
    if (this.#isIncomplete) return undefined;
    if (++this.#nodes > MAX_NODES)
      return this.#cut(offset, path, 'more values than can be read', 'shorten the file');
    if (path.length > MAX_DEPTH)
      return this.#cut(offset, path, 'nested too deeply', 'no key lies as deep as this');
    if (isAlias(node)) return this.#aliased(node, path, offset);
    if (isScalar(node) || isMap(node) || isSeq(node)) this.#checkTag(node.tag, offset, path);
    if (isScalar(node)) {
      if (typeof node.value === 'number' && node.source !== undefined && node.source !== `${node.value}`)
        this.#numbers.set(pathText(path), node.source);
      return node.value;
    }
    if (isMap(node)) return this.#mapOf(node, path);
    if (isSeq(node)) return node.items.map((item, index) => this.#valueOf(item, [...path, index], undefined));
    return null; // a key without a value
  }

  #aliased(alias: Alias, path: Path, offset: number | undefined): unknown {
    if (++this.#aliases > MAX_ALIASES) {
      return this.#cut(offset, path, `more than ${MAX_ALIASES} aliases`, 'write the values out');
    }
    const target = alias.resolve(this.#document);
    if (target !== undefined) return this.#valueOf(target, path, offset);
    const fix = 'define the anchor before its alias, or quote a value that starts with "*"';
    return this.#cut(offset, path, `no anchor "&${shortened(alias.source)}" before this alias`, fix);
  }

  #mapOf(map: YAMLMap, path: Path): Readonly<Record<string, unknown>> {
    // Without a prototype: `__proto__` and `constructor` are keys like any other, and unknown.
    const data: Record<string, unknown> = Object.create(null);
    for (const pair of map.items) {
      const offset = offsetOf(pair.key);
      const key = isScalar(pair.key) ? keyText(pair.key.value) : undefined;
      if (key === undefined) {
        this.#report(offset ?? offsetOf(map), path, 'a key that is no plain word', 'write "key: value"');
        continue;
      }
      const inner = [...path, key];
      if (isScalar(pair.key)) this.#checkTag(pair.key.tag, offset, inner);
      const first = this.#keys.get(pathText(inner));
      if (Object.hasOwn(data, key) && first !== undefined) {
        this.#report(
          offset,
          inner,
          `written twice: first in line ${placeOf(this.#lines, first).line}`,
          'keep one of the two',
        );
        continue;
      }
      if (offset !== undefined) this.#keys.set(pathText(inner), offset);
      data[key] = this.#valueOf(pair.value, inner, undefined);
    }
    return data;
  }

  #checkTag(tag: string | undefined, offset: number | undefined, path: Path): void {
    if (tag === undefined || CORE_TAGS.has(tag)) return;
    this.#report(
      offset,
      path,
      `unknown tag "${shortened(tag.replace(CORE_PREFIX, '!!'))}"`,
      'remove the tag, or quote a value that starts with "!"',
    );
  }

  #cut(offset: number | undefined, path: Path, message: string, fix: string): undefined {
    this.#isIncomplete = true;
    this.#report(offset, path, message, fix);
  }

  #report(offset: number | undefined, path: Path, message: string, fix: string): undefined {
    const place = offset === undefined ? {} : placeOf(this.#lines, offset);
    this.#faults.push({ ...place, path, message, fix });
  }
}

const CORE_PREFIX = 'tag:yaml.org,2002:';
const CORE_TAGS: ReadonlySet<string> = new Set(
  ['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((tag) => CORE_PREFIX + tag),
);

function keyText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' || value === null
    ? String(value)
    : undefined;
}

function offsetOf(node: unknown): number | undefined {
  if (!isScalar(node) && !isMap(node) && !isSeq(node) && !isAlias(node)) return undefined;
  return node.range?.[0];
}
