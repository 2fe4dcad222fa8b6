/** The log as an argument: constant text plus fields. It knows no destination. */

/** Pino's logger has this shape; tests pass a log that collects lines. */
export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
  child(fields: Record<string, unknown>): Log;
}

/** Between two lines about one limit. */
const INTERVAL_MS = 60_000;

interface LimitLine {
  atMs: number;
  /** Times that the limit applied since that line. */
  times: number;
}

/**
 * Logs that a limit holds clients or questions back, because a limit that nobody hears of looks like a lossy network. At most
 * one line a minute for each limit, with one example and the number of times since the last line.
 */
export class LimitLog {
  readonly #log: Log;
  readonly #lines = new Map<string, LimitLine>();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Notes that the limit has just held back a client of `network`, which is called only where a line is due. `limit` is its
   * configuration key, or another constant name.
   */
  note(limit: string, nowMs: number, network: () => string): void {
    this.#note(limit, nowMs, () => ({ network: network() }), 'clients are held back by a limit');
  }

  /** As `note`, for a question whose client is not known where the limit applies: `name` gives the name asked for. */
  noteQuestion(limit: string, nowMs: number, name: () => string): void {
    this.#note(limit, nowMs, () => ({ name: name() }), 'questions are held back by a limit');
  }

  #note(limit: string, nowMs: number, example: () => object, text: string): void {
    let line = this.#lines.get(limit);
    if (line === undefined) {
      line = { atMs: Number.NEGATIVE_INFINITY, times: 0 };
      this.#lines.set(limit, line);
    }
    line.times += 1;
    if (nowMs - line.atMs < INTERVAL_MS) return;
    this.#log.warn({ limit, ...example(), times: line.times }, text);
    line.atMs = nowMs;
    line.times = 0;
  }
}
