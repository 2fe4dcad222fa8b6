/** The `region` namespace: the simulated Region, and BIND as the resolver that the site forwards to. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { callSandbox } from '../../sandbox/control-client.ts';
import { Background, machineEnvironment } from '../commands.ts';
import { type Network, nodeCommand, REGION_ADDRESS } from './network.ts';

const REGION_NAME = 'us-west-2';

export class FarSide implements AsyncDisposable {
  /** The environment in which the server takes the sandbox for AWS, by name. */
  readonly environment: Readonly<Record<string, string>>;
  readonly #controlPath: string;
  readonly #owned: AsyncDisposable;

  private constructor(
    environment: Readonly<Record<string, string>>,
    controlPath: string,
    owned: AsyncDisposable,
  ) {
    this.environment = environment;
    this.#controlPath = controlPath;
    this.#owned = owned;
  }

  static async start({ region }: Network, room: string): Promise<FarSide> {
    await using owned = new AsyncDisposableStack();
    const controlPath = join(room, 'sandbox.sock');
    const program = join(import.meta.dirname, 'region.ts');
    const sandbox = owned.use(
      new Background(region.within([...nodeCommand(program), REGION_ADDRESS, controlPath]), {
        env: { ...machineEnvironment(), TMPDIR: room },
      }),
    );
    const line: RegionLine = JSON.parse((await sandbox.printed(/^\{.*\}$/m))[0]); // our own program's
    const config = await writeBind(join(room, 'bind'), line.dnsAddress);
    const bind = owned.use(new Background(region.within(['named', '-g', '-c', config])));
    await bind.printed(/running$/m);
    return new FarSide(byName(line), controlPath, owned.move());
  }

  /** An ENI of the cluster gets another address, in the listing and in the name. */
  async moveInterface(from: string, to: string): Promise<void> {
    await callSandbox(this.#controlPath, 'POST', '/eni', { cluster: 'demo', from, to });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}

interface RegionLine {
  readonly regionUrl: string;
  readonly dnsAddress: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** AWS is called by name: a name that cannot be resolved cannot be called. */
function byName({ environment, regionUrl }: RegionLine): Record<string, string> {
  const named = regionUrl.replace(REGION_ADDRESS, `ec2.${REGION_NAME}.amazonaws.com`);
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [name, value === regionUrl ? named : value]),
  );
}

/**
 * It forgets after a second, as it has forgotten after an outage that is longer than the TTL of 60 s: the lab's are not.
 */
async function writeBind(folder: string, sandboxDns: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const [host, port] = sandboxDns.split(':');
  const zone = (name: string, records: string) => ({ name, records });
  const zones = [
    zone(`${REGION_NAME}.amazonaws.com`, `ec2 60 IN A ${REGION_ADDRESS}\n`),
    zone(
      'example.com',
      'short 2 IN A 192.0.2.1\n*.short 2 IN A 192.0.2.1\nlong 3600 IN A 192.0.2.2\nretained 5 IN A 192.0.2.3\n',
    ),
  ];
  for (const { name, records } of zones)
    await writeFile(
      join(folder, name),
      `$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 60\n@ IN NS ns\nns IN A ${REGION_ADDRESS}\n${records}`,
    );
  const file = join(folder, 'named.conf');
  await writeFile(
    file,
    `options {
    directory "${folder}"; pid-file "${folder}/named.pid"; session-keyfile "${folder}/session.key";
    listen-on port 53 { ${REGION_ADDRESS}; }; listen-on-v6 { none; };
    recursion yes; allow-query { any; }; dnssec-validation no; max-cache-ttl 1; max-ncache-ttl 1;
    forward only; forwarders { ${host} port ${port}; };
};
controls { };
${zones.map(({ name }) => `zone "${name}" { type primary; file "${name}"; };\n`).join('')}`,
  );
  return file;
}
