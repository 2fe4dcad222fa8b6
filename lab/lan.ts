/** Two or more hosts and a client on one network: each has a cable to a switch, which is a bridge in a namespace of its own. */
import { must } from './commands.ts';
import { Namespace } from './namespace.ts';

/** The interface of each host and of the client. */
export const INTERFACE = 'eth0';
const BRIDGE = 'bridge';

export class Lan implements AsyncDisposable {
  readonly client: Namespace;
  readonly hosts: readonly Namespace[];
  readonly #switch: Namespace;
  readonly #owned: AsyncDisposable;

  private constructor(all: readonly Namespace[], owned: AsyncDisposable) {
    const [center, client, ...hosts] = all;
    if (center === undefined || client === undefined) throw new Error('a network has a switch and a client');
    this.#switch = center;
    this.client = client;
    this.hosts = hosts;
    this.#owned = owned;
  }

  /** The addresses of the client and of each host, with the length of their prefix. */
  static async make(client: readonly string[], hosts: readonly (readonly string[])[]): Promise<Lan> {
    await using owned = new AsyncDisposableStack();
    const center = owned.use(await Namespace.make());
    await ip(center, 'link', 'add', BRIDGE, 'type', 'bridge');
    await ip(center, 'link', 'set', BRIDGE, 'up');
    const all = [center];
    for (const [at, addresses] of [client, ...hosts].entries()) {
      const end = owned.use(await Namespace.make());
      all.push(end);
      const ends = ['netns', end.name, 'type', 'veth', 'peer', 'name', portOf(at), 'netns', center.name];
      await must(['ip', 'link', 'add', INTERFACE, ...ends]);
      // duplicate address detection would take a second
      for (const address of addresses)
        await ip(
          end,
          'address',
          'add',
          address,
          'dev',
          INTERFACE,
          ...(address.includes(':') ? ['nodad'] : []),
        );
      await ip(end, 'link', 'set', INTERFACE, 'up');
      await ip(center, 'link', 'set', portOf(at), 'master', BRIDGE, 'up');
    }
    return new Lan(all, owned.move());
  }

  /** The cable of a host, pulled at the switch or put back. */
  async setCable(host: number, state: 'up' | 'down'): Promise<void> {
    await ip(this.#switch, 'link', 'set', portOf(host + 1), state);
  }

  /** Whether the switch forwards to and from the host; its cable keeps its carrier. */
  async setForwarding(host: number, isOn: boolean): Promise<void> {
    const master = isOn ? ['master', BRIDGE] : ['nomaster'];
    await ip(this.#switch, 'link', 'set', portOf(host + 1), ...master);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}

const portOf = (end: number): string => `port${end}`;

async function ip(end: Namespace, ...args: string[]): Promise<void> {
  await must(['ip', '-n', end.name, ...args]);
}
