/** The log of a process that has not loaded pino yet: lines wait here, in their order and with their times. */
import type { Log } from './log.ts';

type Level = 'debug' | 'info' | 'warn' | 'error';
export type LogLevel = Level | 'silent';
const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];

type OpenedLog = Log & { level: string };

interface WaitingLine {
  readonly log: WaitingLog;
  readonly level: Level;
  readonly fields: object;
  readonly text: string;
  readonly atMs: number;
}

/** Many times the lines of a start. */
const MAX_WAITING = 10_000;

/** Keeps lines until it is opened, and hands them on after that. */
export class WaitingLog implements Log {
  /** Of the log that all others come from. */
  readonly #root: WaitingLog;
  readonly #parent: WaitingLog | undefined;
  readonly #fields: Record<string, unknown>;
  #level: LogLevel;
  #opened: OpenedLog | undefined;
  #child: Log | undefined;
  #waiting: WaitingLine[] = [];
  overflown = 0;

  constructor(level: LogLevel, parent?: WaitingLog, fields: Record<string, unknown> = {}) {
    this.#root = parent === undefined ? this : parent.#root;
    this.#parent = parent;
    this.#fields = fields;
    this.#level = level;
  }

  get #logger(): Log | undefined {
    if (this.#parent === undefined) return this.#opened;
    this.#child ??= this.#parent.#logger?.child(this.#fields);
    return this.#child;
  }

  debug = (fields: object, text: string) => this.#write('debug', fields, text);
  info = (fields: object, text: string) => this.#write('info', fields, text);
  warn = (fields: object, text: string) => this.#write('warn', fields, text);
  error = (fields: object, text: string) => this.#write('error', fields, text);

  child(fields: Record<string, unknown>): Log {
    return new WaitingLog(this.#level, this, fields);
  }

  setLevel(level: LogLevel): void {
    this.#level = level;
    if (this.#opened !== undefined) this.#opened.level = level;
  }

  open(make: (level: LogLevel, nowMs: () => number) => OpenedLog): void {
    let waited: WaitingLine | undefined;
    this.#opened = make(this.#level, () => waited?.atMs ?? Date.now());
    for (waited of this.#waiting.splice(0)) waited.log[waited.level](waited.fields, waited.text);
    waited = undefined;
  }

  #write(level: Level, fields: object, text: string): void {
    const logger = this.#logger;
    const root = this.#root;
    if (logger !== undefined) logger[level](fields, text);
    else if (LEVELS.indexOf(level) < LEVELS.indexOf(root.#level)) return;
    else if (root.#waiting.length === MAX_WAITING) root.overflown++;
    else root.#waiting.push({ log: this, level, fields, text, atMs: Date.now() });
  }
}
