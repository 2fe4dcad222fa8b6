/**
 * The log as an argument: constant text plus fields. It knows no destination. A room declares its lines: level, text, fields,
 * and what an operator does about the line. A declared message is also the function that logs it; `docs/log.md` lists them.
 * `WaitingLog` keeps lines until pino is loaded.
 */

/** Pino's logger has this shape; tests pass a log that collects lines. */
export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
  child(fields: Record<string, unknown>): Log;
}

export interface Declaration {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** Lower case, without a full stop. It never changes with the event: the fields do. */
  readonly text: string;
  /** Each field, and its meaning. */
  readonly fields?: Readonly<Record<string, string>>;
  /** What an operator does about the line; absent where there is nothing to do. */
  readonly fix?: string;
}

export type Message<Field extends string = never> = Declaration &
  ((log: Log, fields?: { readonly [Name in Field]?: unknown }) => void);

type FieldOf<Declared> = Declared extends { readonly fields: infer Fields } ? keyof Fields & string : never;

/** Turns the declarations of a room into the functions that log them. */
export function messages<const All extends Readonly<Record<string, Declaration>>>(
  declarations: All,
): { readonly [Name in keyof All]: Message<FieldOf<All[Name]>> } {
  const made: Record<string, Message> = {};
  for (const [name, declaration] of Object.entries(declarations)) {
    const { level, text } = declaration;
    made[name] = Object.assign((log: Log, fields: object = {}) => log[level](fields, text), declaration);
  }
  // the loop has made one function for each name
  return made as { readonly [Name in keyof All]: Message<FieldOf<All[Name]>> };
}

const LIMIT = { limit: 'its configuration key', times: 'times that it applied since the last line' };

export const LOG_MESSAGES = messages({
  clientsHeld: {
    level: 'warn',
    text: 'clients are held back by a limit',
    fields: { ...LIMIT, network: 'the network of one such client' },
    fix: 'find the client that asks so much; raise the limit only where its load is legitimate',
  },
  questionsHeld: {
    level: 'warn',
    text: 'questions are held back by a limit',
    fields: { ...LIMIT, name: 'one such name' },
    fix: 'find the client that asks for such names; check whether upstreams are slow',
  },
  linesDropped: {
    level: 'warn',
    text: 'log lines were dropped: the reader was too slow, or writing failed',
    fields: { dropped: 'their number' },
    fix: 'check the reader of the log, or the disk that it writes to',
  },
});

/** Time between two lines about one limit. */
const INTERVAL_MS = 60_000;

/**
 * Logs that a limit holds clients or questions back, because a limit that nobody hears of looks like a lossy network. At most
 * one line a minute for each limit, with one example and the number of times since the last line.
 */
export class LimitLog {
  readonly #log: Log;
  /** By limit: the time of the last line, and how many times the limit has applied since. */
  readonly #lines = new Map<string, { atMs: number; times: number }>();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Notes that the limit has just held back a client of `network`, which is called only where a line is due. `limit` is its
   * configuration key, or another constant name.
   */
  note(limit: string, nowMs: number, network: () => string): void {
    this.#note(limit, nowMs, () => ({ network: network() }), LOG_MESSAGES.clientsHeld);
  }

  /** As `note`, for a question whose client is not known where the limit applies: `name` gives the name asked for. */
  noteQuestion(limit: string, nowMs: number, name: () => string): void {
    this.#note(limit, nowMs, () => ({ name: name() }), LOG_MESSAGES.questionsHeld);
  }

  #note(
    limit: string,
    nowMs: number,
    example: () => { readonly network: string } | { readonly name: string },
    message: Message<'limit' | 'times' | 'network' | 'name'>,
  ): void {
    let line = this.#lines.get(limit);
    if (line === undefined) {
      line = { atMs: Number.NEGATIVE_INFINITY, times: 0 };
      this.#lines.set(limit, line);
    }
    line.times += 1;
    if (nowMs - line.atMs < INTERVAL_MS) return;
    message(this.#log, { limit, ...example(), times: line.times });
    line.atMs = nowMs;
    line.times = 0;
  }
}

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

/**
 * The log of a process that has not loaded pino yet: lines wait here, in their order and with their times. The level is asked here,
 * too: a child of pino's would keep the level that it was made with, and a reload changes the level.
 */
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
