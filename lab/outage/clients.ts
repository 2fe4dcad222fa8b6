/** Other people's programs that resolve the endpoint, each in its own way, as a pod, a node or a person does. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type Command, machineEnvironment, must, run } from '../commands.ts';
import type { Tool } from '../tools.ts';
import type { Credentials } from './certificates.ts';
import type { Journal } from './journal.ts';
import type { LabSite } from './lab-site.ts';

export interface Client {
  readonly name: string;
  readonly command: Command;
  /** Its output when it has found the endpoint: the addresses, or the API server's version. */
  readonly finds: 'addresses' | 'version';
}

export const CLIENT_TOOLS: readonly Tool[] = ['dig', 'curl', 'musl-gcc', 'python3', 'kubectl'];

const LOOKUP = `require('node:dns').lookup(process.argv[1], { all: true }, (error, found) => {
  if (error) throw error;
  for (const { address } of found) console.log(address);
})`;
const RESOLVE4 = `require('node:dns').resolve4(process.argv[1], (error, found) => {
  if (error) throw error;
  for (const address of found) console.log(address);
})`;
const PYTHON = `import socket, sys
for address in {one[4][0] for one in socket.getaddrinfo(sys.argv[1], 443, type=socket.SOCK_STREAM)}: print(address)`;

export async function makeClients(
  room: string,
  endpoint: string,
  credentials: Credentials,
): Promise<readonly Client[]> {
  const musl = join(room, 'getaddrinfo-musl');
  await must(['musl-gcc', '-static', '-Wall', '-o', musl, join(import.meta.dirname, 'getaddrinfo.c')]);
  const { ca, clientCertificate, clientKey, kubeconfig } = credentials;
  const curl = ['curl', '--silent', '--show-error', '--fail', '--max-time', '20', '--cacert', ca] as const;
  const clients: readonly (readonly [Client['name'], Client['finds'], Command])[] = [
    ['dig', 'addresses', ['dig', '+short', endpoint]],
    ['getent ahosts (glibc)', 'addresses', ['getent', 'ahosts', endpoint]],
    ['getaddrinfo (musl)', 'addresses', [musl, endpoint]],
    ['Node dns.lookup', 'addresses', [process.execPath, '--eval', LOOKUP, endpoint]],
    ['Node dns.resolve4', 'addresses', [process.execPath, '--eval', RESOLVE4, endpoint]],
    ['Python getaddrinfo', 'addresses', ['/usr/bin/python3', '-c', PYTHON, endpoint]],
    [
      'curl',
      'version',
      [...curl, '--cert', clientCertificate, '--key', clientKey, `https://${endpoint}/version`],
    ],
    ['kubectl', 'version', ['kubectl', '--kubeconfig', kubeconfig, 'get', '--raw', '/version']],
  ];
  return clients.map(([name, finds, command]) => ({ name, finds, command }));
}

export interface Finding {
  readonly tookMs: number;
  /** Absent: it found what it should. */
  readonly fault?: string;
}

/** A resolver's second try comes after 5 s with glibc and dig: no first one may be lost. */
const WITHIN_MS: Readonly<Record<Client['finds'], number>> = { addresses: 4500, version: 15_000 };

/** In sequence, so that no client slows another; throws where a client does not find the endpoint. */
export async function tryClients(
  site: LabSite,
  journal: Journal,
  addresses: readonly string[],
): Promise<void> {
  const findings = journal.phases.at(-1)?.findings;
  const faults: string[] = [];
  for (const client of site.clients) {
    const finding = await tryClient(client, site.withinClient, addresses, site.home);
    findings?.set(client.name, finding);
    const { fault, tookMs } = finding;
    if (fault !== undefined) faults.push(`${client.name}: ${fault}`);
    else if (tookMs > WITHIN_MS[client.finds]) faults.push(`${client.name}: after ${tookMs.toFixed(0)} ms`);
  }
  assert.deepEqual(faults, []);
}

/** Runs it to its end; never throws. `home`: an empty folder for its files. */
async function tryClient(
  { command, finds }: Client,
  within: (command: Command) => Command,
  addresses: readonly string[],
  home: string,
): Promise<Finding> {
  const { code, stdout, stderr, tookMs } = await run(within(command), {
    env: { ...machineEnvironment(), HOME: home },
    timeoutMs: 60_000,
  });
  try {
    assert.equal(code, 0, `exit code ${code}: ${stderr.trim()}`);
    if (finds === 'version') assert.match(stdout, /"gitVersion": ?"v1\.33\./);
    else assert.deepEqual([...new Set(stdout.match(/^\d+\.\d+\.\d+\.\d+\b/gm))].sort(), addresses);
    return { tookMs };
  } catch (error) {
    return { tookMs, fault: error instanceof Error ? error.message : String(error) };
  }
}
