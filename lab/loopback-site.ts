/** A Region that can be cut off, and the delivered bundle against it on loopback, in an environment that the check chooses. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { callSandbox } from '../sandbox/control-client.ts';
import type { StatusReport } from '../src/daemon/report.ts';
import { askUdp } from '../test/scenarios/server-process.ts';
import type { QueryText } from '../test/serving/resolver/messages.ts';
import { Background, eventually, machineEnvironment } from './commands.ts';
import { ENDPOINT } from './sandbox-site.ts';
import type { Workshop } from './workshop.ts';

export interface LoopbackSiteOptions {
  /** Of the check; its folder is named so. */
  readonly name: string;
  readonly dnsPort: number;
  readonly httpPort: number;
  /** Top-level keys of the configuration, in place of the sandbox's. */
  readonly overrides: Readonly<Record<string, unknown>>;
}

const HTTP_WITHIN_MS = 20_000;

export class LoopbackSite implements AsyncDisposable {
  readonly room: string;
  readonly stateDirectory: string;
  readonly program: string;
  readonly configFile: string;
  /** The environment of a client of the Region: endpoints and keys. */
  readonly environment: Readonly<Record<string, string>>;
  readonly #options: LoopbackSiteOptions;
  readonly #controlPath: string;
  readonly #region: Background;
  #server: Background | undefined;
  startedMs = 0;

  private constructor(
    room: string,
    program: string,
    region: Background,
    line: RegionLine,
    options: LoopbackSiteOptions,
  ) {
    this.room = room;
    this.stateDirectory = join(room, 'state');
    this.program = program;
    this.configFile = join(room, 'outpost-dns.yaml');
    this.environment = line.environment;
    this.#controlPath = line.controlPath;
    this.#region = region;
    this.#options = options;
  }

  static async start(workshop: Workshop, options: LoopbackSiteOptions): Promise<LoopbackSite> {
    const room = await workshop.room(options.name);
    const program = join(await workshop.bundle(), 'bin', 'outpost-dns');
    const { dnsPort, httpPort, overrides } = options;
    const region = new Background(
      [program, 'sandbox', '--region-only', '--port', `${dnsPort}`, '--http-port', `${httpPort}`],
      { env: { ...machineEnvironment(), TMPDIR: room } },
    );
    try {
      const line = JSON.parse((await region.printed(/^\{.*\}$/m))[0]) as RegionLine; // our own program's
      const site = new LoopbackSite(room, program, region, line, options);
      const config = parse(await readFile(line.configFile, 'utf8')) as object; // the sandbox's own
      const state = { directory: site.stateDirectory };
      await writeFile(site.configFile, stringify({ ...config, state, ...overrides }));
      return site;
    } catch (error) {
      await region[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** `environment` overrides the Region's; of the lab's own environment only PATH is passed on. */
  startServer(environment: Readonly<Record<string, string>>): Background {
    this.startedMs = performance.now();
    const env = { PATH: '/usr/bin:/bin', ...environment };
    this.#server = new Background([this.program, 'serve', '--config', this.configFile], { env });
    return this.#server;
  }

  async stopServer(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#server?.end(signal);
    this.#server = undefined;
  }

  get server(): Background {
    if (this.#server === undefined) throw new Error('no server runs');
    return this.#server;
  }

  ask(query: QueryText, timeoutMs = 2000) {
    return askUdp(this.#options.dnsPort, query, timeoutMs);
  }

  /** Milliseconds from the start of the process to the first reply about the endpoint, with that reply. */
  async firstAnswer() {
    for (;;) {
      const reply = await this.ask({ name: ENDPOINT }, 50).catch(() => undefined);
      const sinceStartMs = performance.now() - this.startedMs;
      if (reply !== undefined) return { ...reply, sinceStartMs };
      if (this.server.hasEnded || sinceStartMs > 20_000)
        throw new Error(`no answer\n${this.server.output.slice(-2000)}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async page(path: string): Promise<string> {
    const url = `http://127.0.0.1:${this.#options.httpPort}${path}`;
    for (let attempt = 1; ; attempt++) {
      const response = await this.#fetched(url);
      if (response.ok) return response.text();
      // by a clock that runs twenty times as fast the request may have taken too long
      if (response.status !== 408 || attempt === 5) throw new Error(`${path}: status ${response.status}`);
    }
  }

  /** HTTP comes up a moment after the first answer. */
  async #fetched(url: string): Promise<Response> {
    for (const deadline = performance.now() + HTTP_WITHIN_MS; ; ) {
      try {
        return await fetch(url, { signal: AbortSignal.timeout(5000), headers: { connection: 'close' } });
      } catch (error) {
        const cause: unknown = error instanceof Error ? error.cause : undefined;
        const isRefused = cause instanceof Error && Reflect.get(cause, 'code') === 'ECONNREFUSED';
        if (!isRefused || this.server.hasEnded || performance.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  async status(): Promise<StatusReport> {
    return JSON.parse(await this.page('/status')) as StatusReport;
  }

  /** Sends the sandbox the command `path`. */
  async command(path: string, body: unknown): Promise<void> {
    await callSandbox(this.#controlPath, 'POST', path, body);
  }

  /** Successful polls of a source, by its own count. */
  async refreshes(source: string): Promise<number> {
    const endpoint = (await this.status()).endpoints[0];
    return endpoint?.sources.find((one) => one.source === source)?.refreshes['succeeded'] ?? 0;
  }

  /** Resolves once each source has had at least `times` more successful polls. */
  async untilRefreshed(times: number, withinMs: number): Promise<void> {
    const sources = ['dns', 'interfaces'];
    const wanted = await Promise.all(
      sources.map(async (source) => [source, (await this.refreshes(source)) + times] as const),
    );
    await eventually(`${times} more polls of each source`, withinMs, async () => {
      for (const [source, count] of wanted) if ((await this.refreshes(source)) < count) return undefined;
      return true;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    await this.#region[Symbol.asyncDispose]();
  }
}

interface RegionLine {
  readonly configFile: string;
  readonly controlPath: string;
  readonly environment: Readonly<Record<string, string>>;
}
