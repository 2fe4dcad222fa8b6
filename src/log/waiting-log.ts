/**
 * The log of a process that has not loaded pino yet: lines wait here, in their order and with their times. The level is asked here, too:
 * a child of pino's would keep the level that it was made with, and a reload changes the level.
 */
import type { Log } from './log.ts';

type Level = 'debug' | 'info' | 'warn' | 'error';
export type LogLevel = Level | 'silent';
const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];

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
  /** Counts in the root alone. */
  #level: LogLevel;
  #logger: Log | undefined;
  #waiting: WaitingLine[] = [];
  overflown = 0;

  constructor(level: LogLevel, parent?: WaitingLog, fields: Record<string, unknown> = {}) {
    this.#root = parent === undefined ? this : parent.#root;
    this.#parent = parent;
    this.#fields = fields;
    this.#level = level;
  }

  get #opened(): Log | undefined {
    if (this.#parent !== undefined) this.#logger ??= this.#parent.#opened?.child(this.#fields);
    return this.#logger;
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
  }

  open(make: (nowMs: () => number) => Log): void {
    let waited: WaitingLine | undefined;
    this.#logger = make(() => waited?.atMs ?? Date.now());
    for (waited of this.#waiting.splice(0)) waited.log.#opened?.[waited.level](waited.fields, waited.text);
    waited = undefined;
  }

  #write(level: Level, fields: object, text: string): void {
    const root = this.#root;
    if (LEVELS.indexOf(level) < LEVELS.indexOf(root.#level)) return;
    const opened = this.#opened;
    if (opened !== undefined) opened[level](fields, text);
    else if (root.#waiting.length === MAX_WAITING) root.overflown++;
    else root.#waiting.push({ log: this, level, fields, text, atMs: Date.now() });
  }
}
