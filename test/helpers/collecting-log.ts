import type { Log } from '../../src/log/log.ts';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly text: string;
  readonly fields: Record<string, unknown>;
}

/** A log that keeps its lines for a test to read. */
export class CollectingLog implements Log {
  readonly lines: LogLine[];
  readonly #bound: Record<string, unknown>;

  constructor(lines: LogLine[] = [], bound: Record<string, unknown> = {}) {
    this.lines = lines;
    this.#bound = bound;
  }

  debug(fields: object, text: string): void {
    this.#add('debug', fields, text);
  }
  info(fields: object, text: string): void {
    this.#add('info', fields, text);
  }
  warn(fields: object, text: string): void {
    this.#add('warn', fields, text);
  }
  error(fields: object, text: string): void {
    this.#add('error', fields, text);
  }
  child(fields: Record<string, unknown>): CollectingLog {
    return new CollectingLog(this.lines, { ...this.#bound, ...fields });
  }

  #add(level: LogLine['level'], fields: object, text: string): void {
    this.lines.push({ level, text, fields: { ...this.#bound, ...fields } });
  }
}
