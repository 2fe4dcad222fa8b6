/** The log as an argument: constant text plus fields. It knows no destination. */

/** Pino's logger has this shape; tests pass a log that collects lines. */
export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
  child(fields: Record<string, unknown>): Log;
}
