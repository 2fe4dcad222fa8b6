/** A site as in the README's drawing: two servers that share nothing, at 10.0.9.53 and 10.0.9.54, and a Region that can be cut off. */
import { join } from 'node:path';
import { callSandbox } from '../sandbox/control-client.ts';
import { Background, type Command, eventually, machineEnvironment, must } from './commands.ts';
import { Namespace } from './namespace.ts';
import type { Workshop } from './workshop.ts';

export const SERVER_ADDRESSES = ['10.0.9.53', '10.0.9.54'] as const;

export class TwoServers implements AsyncDisposable {
  readonly clone: string;
  readonly servers: readonly Background[];
  readonly namespace: Namespace;
  /** The configuration of both; each has its own addresses and state directory from its environment. */
  readonly configFile: string;
  readonly stateDirectories: readonly string[];
  readonly #controlPath: string;
  readonly #owned: AsyncDisposable;

  private constructor(
    parts: Pick<TwoServers, 'clone' | 'servers' | 'namespace' | 'configFile' | 'stateDirectories'>,
    controlPath: string,
    owned: AsyncDisposable,
  ) {
    this.clone = parts.clone;
    this.servers = parts.servers;
    this.namespace = parts.namespace;
    this.configFile = parts.configFile;
    this.stateDirectories = parts.stateDirectories;
    this.#controlPath = controlPath;
    this.#owned = owned;
  }

  /** `more`: addresses of other servers of the site. */
  static async start(workshop: Workshop, name: string, more: readonly string[]): Promise<TwoServers> {
    await using owned = new AsyncDisposableStack();
    const clone = await workshop.installed();
    const room = await workshop.room(name);
    const namespace = owned.use(await Namespace.make([...SERVER_ADDRESSES, ...more]));
    const program = join(clone, 'bin', 'outpost-dns');
    const environment = { ...machineEnvironment(), TMPDIR: room };
    const region = owned.use(
      new Background(namespace.within([program, 'sandbox', '--region-only']), { env: environment }),
    );
    const line = JSON.parse((await region.printed(/^\{.*\}$/m))[0]) as RegionLine; // our own program's
    const stateDirectories = SERVER_ADDRESSES.map((_, at) => join(room, `state-${at}`));
    const servers = SERVER_ADDRESSES.map((address, at) =>
      owned.use(
        new Background(namespace.within([program, 'serve', '--config', line.configFile]), {
          env: {
            ...environment,
            ...line.environment,
            OUTPOST_DNS_LISTEN__DNS: `${address}:53`,
            OUTPOST_DNS_ADMIN__LISTEN: `${address}:9153`,
            OUTPOST_DNS_STATE__DIRECTORY: stateDirectories[at] ?? '',
          },
        }),
      ),
    );
    const { configFile, controlPath } = line;
    const parts = { clone, servers, namespace, configFile, stateDirectories };
    const site = new TwoServers(parts, controlPath, owned.move());
    for (const address of SERVER_ADDRESSES) await site.untilReady(address);
    return site;
  }

  within = (command: Command): Command => this.namespace.within(command);

  async setLink(state: 'up' | 'down'): Promise<void> {
    await callSandbox(this.#controlPath, 'POST', '/link', { state });
  }

  async untilReady(address: string): Promise<void> {
    await eventually(`${address} is ready`, 30_000, async () =>
      must(this.within(['curl', '--silent', '--fail', `http://${address}:9153/readyz`])),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}

interface RegionLine {
  readonly configFile: string;
  readonly controlPath: string;
  readonly environment: Readonly<Record<string, string>>;
}
