/** Logs limits that apply: at most one line a minute for each. */
import { LOG_MESSAGES, type Log, type Message } from './log.ts';

/** Time between two lines about one limit. */
const INTERVAL_MS = 60_000;

/** A client's network, or a name asked for. */
interface Example {
  readonly network?: string;
  readonly name?: string;
}

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
    this.#note(limit, nowMs, () => ({ network: network() }), LOG_MESSAGES.clientsHeld);
  }

  /** As `note`, for a question whose client is not known where the limit applies: `name` gives the name asked for. */
  noteQuestion(limit: string, nowMs: number, name: () => string): void {
    this.#note(limit, nowMs, () => ({ name: name() }), LOG_MESSAGES.questionsHeld);
  }

  #note(
    limit: string,
    nowMs: number,
    example: () => Example,
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
