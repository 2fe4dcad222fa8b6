/**
 * Says in the log that a limit holds something back, because a limit that nobody hears of looks like a lossy network.
 * Once a minute at most for each limit, with the client network that it holds back and how often since the last line.
 */
import type { Log } from './log.ts';

const INTERVAL_MS = 60_000;

interface Said {
  atMs: number;
  /** Times since that line. */
  times: number;
}

export class LimitLog {
  readonly #log: Log;
  readonly #said = new Map<string, Said>();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * The limit has just held something back. `limit` is its configuration key, or another constant name; `network` is
   * called only where a line is due.
   */
  note(limit: string, nowMs: number, network: () => string): void {
    this.#note(limit, nowMs, () => ({ network: network() }), 'clients are held back by a limit');
  }

  /** As `note`, of questions whose client is not known where they are held back: `name` gives the name of one of them. */
  noteQuestion(limit: string, nowMs: number, name: () => string): void {
    this.#note(limit, nowMs, () => ({ name: name() }), 'questions are held back by a limit');
  }

  #note(limit: string, nowMs: number, whose: () => object, text: string): void {
    let said = this.#said.get(limit);
    if (said === undefined) {
      said = { atMs: Number.NEGATIVE_INFINITY, times: 0 };
      this.#said.set(limit, said);
    }
    said.times += 1;
    if (nowMs - said.atMs < INTERVAL_MS) return;
    this.#log.warn({ limit, ...whose(), times: said.times }, text);
    said.atMs = nowMs;
    said.times = 0;
  }
}
