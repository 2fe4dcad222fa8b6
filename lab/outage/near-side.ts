/** The `site` namespace: our server, the site's own DNS server, and the API server at the endpoint's addresses. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StatusReport } from '../../src/daemon/report.ts';
import { Background, type Command, eventually, machineEnvironment, must } from '../commands.ts';
import { unboundCommand } from '../unbound.ts';
import type { Workshop } from '../workshop.ts';
import type { Credentials } from './certificates.ts';
import type { FarSide } from './far-side.ts';
import {
  FIRST,
  type Network,
  nodeCommand,
  REGION_ADDRESS,
  SITE_DNS_ADDRESS,
  SITE_LAN_ADDRESS,
} from './network.ts';

/** A zone of a DNS server on the site; every name in it exists. */
export const SITE_ZONE = 'plant.example.com';
export const RETAINED_NAME = 'retained.example.com';

export interface LogLine {
  readonly atMs: number;
  readonly msg: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A time in which the process was not there. */
export interface Gap {
  readonly fromMs: number;
  readonly startedMs: number;
  /** When it said that it listens. */
  readonly toMs: number;
}

export class NearSide implements AsyncDisposable {
  readonly gaps: Gap[] = [];
  readonly program: string;
  readonly stateDirectory: string;
  readonly #network: Network;
  readonly #config: string;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #credentials: Credentials;
  readonly #processes: Background[] = [];
  readonly #owned: AsyncDisposableStack;

  private constructor(
    parts: Pick<NearSide, 'program' | 'stateDirectory'>,
    network: Network,
    config: string,
    environment: Readonly<Record<string, string>>,
    credentials: Credentials,
    owned: AsyncDisposableStack,
  ) {
    this.#credentials = credentials;
    this.program = parts.program;
    this.stateDirectory = parts.stateDirectory;
    this.#network = network;
    this.#config = config;
    this.#environment = environment;
    this.#owned = owned;
  }

  static async start(
    { network, farSide, workshop, room, credentials }: Surroundings,
    apiAddresses: readonly string[],
  ): Promise<NearSide> {
    await using owned = new AsyncDisposableStack();
    const { site } = network;
    // as on a site without another resolver
    site.setResolvConf('nameserver 127.0.0.1\n');
    const unbound = owned.use(new Background(site.within(await configureUnbound(join(room, 'unbound')))));
    await unbound.printed(/start of service/);
    const apiServer = nodeCommand(join(import.meta.dirname, 'api-server.ts'));
    const api = owned.use(new Background(site.within([...apiServer, credentials.folder, ...apiAddresses])));
    await api.printed(/^ready$/m);
    const stateDirectory = join(room, 'state');
    const config = join(room, 'outpost-dns.yaml');
    await writeFile(config, configuration(stateDirectory, credentials, false));
    const program = join(await workshop.bundle(), 'bin', 'outpost-dns'); // as sites install it
    const environment = { ...machineEnvironment(), TMPDIR: room, ...farSide.environment };
    const parts = { program, stateDirectory };
    await using starting = new AsyncDisposableStack();
    const near = starting.use(new NearSide(parts, network, config, environment, credentials, owned.move()));
    near.#launch();
    await near.server.printed(/"listening"/);
    starting.move(); // from here on the caller ends it
    return near;
  }

  get server(): Background {
    return this.#processes.at(-1) as Background; // a server is started before a client can ask
  }

  /** The log lines of all processes of the server so far. */
  log(): readonly LogLine[] {
    return this.#processes.flatMap(({ output }) =>
      output
        .split('\n')
        .filter((line) => line.startsWith('{') && line.endsWith('}'))
        .map((line) => {
          const { time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>; // an object, as pino writes
          return { atMs: Date.parse(String(time)), msg: String(msg), fields };
        }),
    );
  }

  /** The first line after `sinceMs` that matches. */
  logged(
    what: string,
    sinceMs: number,
    withinMs: number,
    matches: (line: LogLine) => boolean,
  ): Promise<LogLine> {
    return eventually(what, withinMs, async () =>
      this.log().find((line) => line.atMs >= sinceMs && matches(line)),
    );
  }

  /** `kill -9`, and a new process a little later. */
  async killAndRestart(pauseMs: number): Promise<Gap> {
    const fromMs = Date.now();
    await this.server.end('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const startedMs = Date.now();
    this.#launch();
    await this.server.printed(/"listening"/);
    const listening = this.log().find(({ atMs, msg }) => atMs >= startedMs && msg === 'listening');
    const gap = { fromMs, startedMs, toMs: listening?.atMs ?? Date.now() };
    this.gaps.push(gap);
    return gap;
  }

  /** A page of the server's HTTP. */
  page(path: string): Promise<string> {
    const url = `http://127.0.0.1:9153${path}`;
    return must(this.#network.site.within(['curl', '--silent', '--show-error', '--fail', url]));
  }

  /** From now on the cluster is a source too, and tells these addresses. */
  async askCluster(view: readonly string[]): Promise<void> {
    await writeFile(join(this.#credentials.folder, 'view'), view.join(' '));
    await writeFile(this.#config, configuration(this.stateDirectory, this.#credentials, true));
    process.kill(this.server.pid, 'SIGHUP');
  }

  async status(): Promise<StatusReport> {
    return JSON.parse(await this.page('/status')) as StatusReport;
  }

  /** `outpost-dns drill ...`; resolves to what it prints. */
  drill(action: string, ...options: string[]): Promise<string> {
    return this.#command('drill', action, '--state', this.stateDirectory, ...options);
  }

  /** `outpost-dns history ...`; resolves to what it prints. */
  history(...options: string[]): Promise<string> {
    return this.#command('history', '--state', this.stateDirectory, ...options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }

  #command(...args: string[]): Promise<string> {
    return must(this.#network.site.within([this.program, ...args]), { env: this.#environment });
  }

  #launch(): void {
    const serve = [this.program, 'serve', '--config', this.#config] as const;
    const command = this.#network.site.within([...FIRST, ...serve]);
    const server = new Background(command, { env: this.#environment });
    this.#processes.push(this.#owned.use(server));
  }
}

export interface Surroundings {
  readonly network: Network;
  readonly farSide: FarSide;
  readonly workshop: Workshop;
  readonly room: string;
  readonly credentials: Credentials;
}

/**
 * An operator's configuration; all times are the defaults, except the interval of the cluster source. The limit on responses
 * is above its default of 1,000/s for one client network, as the lab's load is as much by itself.
 */
function configuration(stateDirectory: string, credentials: Credentials, asksCluster: boolean): string {
  const { ca, clientCertificate, clientKey } = credentials;
  const kubernetes = `\n    kubernetes: { ca: ${ca}, certificate: ${clientCertificate}, key: ${clientKey} }`;
  return `clusters:
  - name: demo
    region: us-west-2${asksCluster ? kubernetes : ''}
refresh: { kubernetes: 1s }
upstreams: [${REGION_ADDRESS}]
zones:
  - name: ${SITE_ZONE}
    forwardTo: [${SITE_DNS_ADDRESS}]
listen: { dns: ['127.0.0.1:53', '${SITE_LAN_ADDRESS}:53'] }
retain: [${RETAINED_NAME}]
drill: { onSite: [${SITE_DNS_ADDRESS}/32] }
state: { directory: ${stateDirectory} }
`;
}

function configureUnbound(folder: string): Promise<Command> {
  return unboundCommand(
    folder,
    `    interface: ${SITE_DNS_ADDRESS}
    access-control: 10.9.0.0/16 allow
    local-zone: "${SITE_ZONE}." redirect
    local-data: "${SITE_ZONE}. 1 IN A 192.0.2.9"
`,
  );
}
