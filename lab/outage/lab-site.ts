/** The lab network, started: three hosts with their programs, the load, the capture, and the clients. */
import { mkdir } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { Background, type Command, eventually } from '../commands.ts';
import { ADDRESSES, ENDPOINT } from '../sandbox-site.ts';
import type { Workshop } from '../workshop.ts';
import { Capture } from './capture.ts';
import { makeCredentials } from './certificates.ts';
import { type Client, makeClients } from './clients.ts';
import { FarSide } from './far-side.ts';
import type { Stop } from './journal.ts';
import { NearSide } from './near-side.ts';
import { FIRST, Network, nodeCommand, SITE_LAN_ADDRESS } from './network.ts';

/** The address that the first ENI of the endpoint gets, and gives back. */
export const OTHER_ADDRESS = '10.0.4.10';
export const QUERIES_PER_SECOND = 1000;
/** A machine that has just been started reads every program from a cold disk. */
const LEARNED_WITHIN_MS = 120_000;

export class LabSite implements AsyncDisposable {
  readonly network: Network;
  readonly farSide: FarSide;
  readonly nearSide: NearSide;
  readonly capture: Capture;
  readonly clients: readonly Client[];
  /** For the files of clients. */
  readonly home: string;
  readonly loadFile: string;
  readonly #owned: AsyncDisposableStack;
  readonly #watches: Background[] = [];
  #load: Background | undefined;

  private constructor(
    parts: Pick<LabSite, 'network' | 'farSide' | 'nearSide' | 'capture' | 'clients' | 'home' | 'loadFile'>,
    owned: AsyncDisposableStack,
  ) {
    this.network = parts.network;
    this.farSide = parts.farSide;
    this.nearSide = parts.nearSide;
    this.capture = parts.capture;
    this.clients = parts.clients;
    this.home = parts.home;
    this.loadFile = parts.loadFile;
    this.#owned = owned;
  }

  static async start(workshop: Workshop, name: string): Promise<LabSite> {
    await using owned = new AsyncDisposableStack();
    const room = await workshop.room(name);
    const home = join(room, 'home');
    await mkdir(home);
    const endpoint = ENDPOINT.toLowerCase();
    const network = owned.use(await Network.make([...ADDRESSES, OTHER_ADDRESS]));
    network.client.setResolvConf(`nameserver ${SITE_LAN_ADDRESS}\n`);
    const credentials = await makeCredentials(join(room, 'credentials'), endpoint);
    const clients = await makeClients(room, endpoint, credentials);
    const farSide = owned.use(await FarSide.start(network, room));
    const capture = owned.use(await Capture.start(network, join(room, 'lan.pcap')));
    const surroundings = { network, farSide, workshop, room, credentials };
    const nearSide = owned.use(await NearSide.start(surroundings, [...ADDRESSES, OTHER_ADDRESS]));
    const loadFile = join(room, 'load');
    const parts = { network, farSide, nearSide, capture, clients, home, loadFile };
    return new LabSite(parts, owned.move());
  }

  withinClient = (command: Command): Command => this.network.client.within(command);

  /** Resolves once every source of the endpoint has confirmed it. */
  async untilLearned(): Promise<void> {
    await eventually('every source confirms the endpoint', LEARNED_WITHIN_MS, async () => {
      const metrics = await this.nearSide.page('/metrics');
      const confirmed = ['dns', 'interfaces', 'cluster'].every((source) =>
        new RegExp(`^outpost_dns_endpoint_source_age_seconds\\{.*source="${source}".*\\}`, 'm').test(metrics),
      );
      return confirmed ? true : undefined;
    });
  }

  async startLoad(): Promise<void> {
    for (const processor of cpus().keys()) {
      const watch = nodeCommand(join(import.meta.dirname, 'processor-watch.ts'));
      const pinned = ['taskset', '--cpu-list', String(processor), 'chrt', '--fifo', '2', ...watch] as const;
      this.#watches.push(this.#owned.use(new Background(pinned)));
    }
    for (const watch of this.#watches) await watch.printed(/^ready$/m);
    const command = [...FIRST, ...nodeCommand(join(import.meta.dirname, 'load.ts'))] as const;
    this.#load = this.#owned.use(
      new Background(
        this.withinClient([
          ...command,
          SITE_LAN_ADDRESS,
          ENDPOINT,
          String(QUERIES_PER_SECOND),
          this.loadFile,
        ]),
      ),
    );
    await this.#load.printed(/^ready$/m);
  }

  async endLoad(): Promise<void> {
    await this.#load?.end();
  }

  /** When processors of the machine stood still, while the load was on. */
  stops(): readonly Stop[] {
    return this.#watches.flatMap(({ output }) =>
      [...output.matchAll(/^([\d.]+) ([\d.]+)$/gm)].map(([, from, to]) => {
        return { fromMs: Number(from), toMs: Number(to) };
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}
