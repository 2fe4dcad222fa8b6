/** `npm start` in a network of its own: the sandbox and the server against it, as a person starts them. */
import { join } from 'node:path';
import { controlPathFor } from '../sandbox/control.ts';
import { callSandbox } from '../sandbox/control-client.ts';
import { Background, type Command, eventually, machineEnvironment, must } from './commands.ts';
import { Namespace } from './namespace.ts';
import type { Workshop } from './workshop.ts';

/** The demonstration's first cluster. */
export const ENDPOINT = '5E9D0F3C7A1B4286B0D4C8E2F6A19753.gr7.us-west-2.eks.amazonaws.com';
export const ADDRESSES: readonly string[] = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];

export const DNS_PORT = 5300;
export const HTTP_ADDRESS = '127.0.0.1:9153';

export class SandboxSite implements AsyncDisposable {
  readonly clone: string;
  readonly npmStart: Background;
  readonly #namespace: Namespace;
  readonly #room: string;

  private constructor(clone: string, namespace: Namespace, room: string, npmStart: Background) {
    this.clone = clone;
    this.#namespace = namespace;
    this.#room = room;
    this.npmStart = npmStart;
  }

  static async start(workshop: Workshop, name: string): Promise<SandboxSite> {
    const clone = await workshop.installed();
    const room = await workshop.room(name);
    const namespace = await Namespace.make();
    const npmStart = new Background(namespace.within(['npm', 'start']), {
      cwd: clone,
      env: environment(room),
    });
    const site = new SandboxSite(clone, namespace, room, npmStart);
    await npmStart.printed(/In a second terminal:/, 30_000).catch(async (error: unknown) => {
      await site[Symbol.asyncDispose]();
      throw error;
    });
    return site;
  }

  get environment(): Record<string, string> {
    return environment(this.#room);
  }

  get networkName(): string {
    return this.#namespace.name;
  }

  within = (command: Command): Command => this.#namespace.within(command);

  /** Sends the sandbox the command `path`. */
  async command(path: string, body: unknown): Promise<void> {
    await callSandbox(join(this.#room, controlPathFor(DNS_PORT).split('/').at(-1) ?? ''), 'POST', path, body);
  }

  /** `outpost-dns drill`, as a person gives it in a second terminal. */
  drill(...words: readonly string[]): Promise<string> {
    return must(this.within(['npx', 'outpost-dns', 'drill', ...words]), {
      cwd: this.clone,
      env: this.environment,
    });
  }

  /** A page of the server's HTTP. */
  page(path: string): Promise<string> {
    return must(this.within(['curl', '--silent', '--show-error', '--fail', `http://${HTTP_ADDRESS}${path}`]));
  }

  /** Resolves once every source of the endpoint has confirmed it. */
  async untilLearned(): Promise<void> {
    await eventually('every source confirms the endpoint', 30_000, async () => {
      const metrics = await this.page('/metrics');
      const confirmed = ['dns', 'interfaces', 'cluster'].every((source) =>
        new RegExp(`^outpost_dns_endpoint_source_age_seconds\\{.*source="${source}".*\\}`, 'm').test(metrics),
      );
      // the state is on disk first: an earlier kill would come before the server has learned the addresses
      return confirmed && /^outpost_dns_state_pending 0$/m.test(metrics) ? true : undefined;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.npmStart[Symbol.asyncDispose]();
    await this.#namespace[Symbol.asyncDispose]();
  }
}

/** Sockets and scratch files go into the check's own folder: another sandbox may run on this machine. */
function environment(room: string): Record<string, string> {
  return { ...machineEnvironment(), TMPDIR: room };
}
