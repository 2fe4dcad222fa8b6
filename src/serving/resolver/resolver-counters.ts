/** Answers by where they came from and by response code: integers in arrays, raised on the path, read at scrape time. */
import { rcodeAt } from '../../protocol/wire/header.ts';
import { rcodeName } from '../../protocol/words/rcodes.ts';

/** Places in the array of answers by origin; the keys are the metric's labels in camel case. */
export const ORIGIN = {
  malformed: 0,
  class: 1,
  endpoint: 2,
  localZone: 3,
  metaType: 4,
  cacheFresh: 5,
  cacheStale: 6,
  notRecursive: 7,
  forwarded: 8,
  failed: 9,
  disconnected: 10,
  retained: 11,
} as const;

export type Origin = keyof typeof ORIGIN;

const RCODES = 16; // the header has four bits; BADVERS counts as NOERROR, as a client without EDNS would read it

export class ResolverCounters {
  readonly #origins = new Float64Array(Object.keys(ORIGIN).length);
  readonly #rcodes = new Float64Array(RCODES);

  countOrigin(origin: number): void {
    this.#origins[origin] = (this.#origins[origin] ?? 0) + 1;
  }

  /** Counts the reply that starts at `start`. */
  countRcode(reply: Uint8Array, start: number): void {
    const rcode = rcodeAt(reply, start);
    this.#rcodes[rcode] = (this.#rcodes[rcode] ?? 0) + 1;
  }

  /** Labels and counts: every origin, and the response codes that were ever sent. */
  read(): { readonly origins: Record<string, number>; readonly rcodes: Record<string, number> } {
    const origins = Object.entries(ORIGIN).map(
      ([name, at]) => [snakeCase(name), this.#origins[at] ?? 0] as const,
    );
    const rcodes = [...this.#rcodes].flatMap((count, rcode) =>
      count > 0 ? [[rcodeName(rcode), count] as const] : [],
    );
    return { origins: Object.fromEntries(origins), rcodes: Object.fromEntries(rcodes) };
  }
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
