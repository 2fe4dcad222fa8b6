/**
 * What a room needs of a log: constant text plus fields. Pino's logger has this shape;
 * tests pass one that collects.
 */
export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
  child(fields: Record<string, unknown>): Log;
}
