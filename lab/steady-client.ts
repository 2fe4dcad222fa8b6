/** A client that asks one server at a steady rate: load.ts in a namespace, and what it saw. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Background } from './commands.ts';
import type { Namespace } from './namespace.ts';
import { nodeCommand } from './outage/network.ts';

export interface Answered {
  /** In ms since 1970. */
  readonly sentMs: number;
  readonly tookMs: number;
}

/** A client repeats its query after a second at the earliest: an answer after that came too late. */
const LATEST_MS = 1000;

export class SteadyClient implements AsyncDisposable {
  readonly #load: Background;
  readonly #file: string;

  private constructor(load: Background, file: string) {
    this.#load = load;
    this.#file = file;
  }

  /** `file`: where the client keeps what it saw. */
  static async start(from: Namespace, server: string, name: string, perSecond: number, file: string) {
    const program = nodeCommand(join(import.meta.dirname, 'outage/load.ts'));
    const load = new Background(from.within([...program, server, name, String(perSecond), file]));
    await load.printed(/^ready$/m);
    return new SteadyClient(load, file);
  }

  /** Ends the client; resolves with its answered queries, in the order in which they were sent. */
  async end(): Promise<readonly Answered[]> {
    await this.#load.end();
    const columns = new Float64Array(Uint8Array.from(await readFile(this.#file)).buffer);
    const count = columns.length / 2;
    return Array.from({ length: count }, (_, at) => ({
      sentMs: columns[at] ?? 0,
      tookMs: columns[count + at] ?? Number.NaN,
    })).filter(({ tookMs }) => tookMs <= LATEST_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#load[Symbol.asyncDispose]();
  }
}
