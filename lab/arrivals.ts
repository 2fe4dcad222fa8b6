/**
 * Addresses that come to a host after the start of its server: how soon each is answered, dnsmasq beside. A server whose addresses
 * are those of its start would never answer; a poll each half minute was too slow.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AddressEvents } from './address-events.ts';
import type { Lab, LabCheck } from './check.ts';
import { Background, type Command, eventually, machineEnvironment, must } from './commands.ts';
import { dig } from './dig.ts';
import { BARE_DNSMASQ } from './dnsmasq.ts';
import { INTERFACE, Lan } from './lan.ts';
import type { Namespace } from './namespace.ts';
import { SteadyClient } from './steady-client.ts';

const ENDPOINT = 'abc.gr7.us-west-2.eks.amazonaws.com';
const PINNED = '10.0.1.10';
const QUERIES_PER_SECOND = 200;
/** A bound on hangs, below the half minute that a poll took; the time itself is a note. */
const WITHIN_MS = 20_000;

interface Subject {
  readonly name: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly listen?: Readonly<Record<string, unknown>>;
  /** Whether it answers at an address of loopback that no interface has. */
  readonly hasAllOfLoopback: boolean;
}

const OURS: readonly Subject[] = [
  { name: 'batched', hasAllOfLoopback: true },
  { name: 'plain', listen: { udp: 'plain' }, hasAllOfLoopback: false },
  {
    name: 'plain without C',
    environment: { NODE_OPTIONS: '--no-experimental-ffi' },
    hasAllOfLoopback: false,
  },
];
const DNSMASQ: Subject = { name: 'dnsmasq --bind-dynamic', hasAllOfLoopback: false };

export const arrivals: LabCheck = {
  name: 'arrivals',
  about: 'addresses that come after the start, in every listener, with dnsmasq beside',
  tools: ['dig', 'ip', 'git', 'dnsmasq'],
  async run(lab) {
    const subjects = [...OURS, DNSMASQ];
    await using owned = new AsyncDisposableStack();
    const lan = owned.use(
      await Lan.make(
        ['10.0.9.1/24', 'fd00:9::1/64'],
        subjects.map((_, at) => [`10.0.9.${10 + at}/24`, `fd00:9::${10 + at}/64`]),
      ),
    );
    const room = await lab.workshop.room('arrivals');
    const program = join(await lab.workshop.bundle(), 'bin', 'outpost-dns');
    for (const [at, subject] of subjects.entries()) {
      const host = lan.hosts[at];
      assert.ok(host !== undefined);
      if (subject === DNSMASQ) owned.use(await startDnsmasq(host));
      else owned.use(await startOurs(host, program, join(room, `${at}.yaml`), subject));
    }
    for (const [at, subject] of subjects.entries()) {
      const host = lan.hosts[at];
      assert.ok(host !== undefined);
      const addresses = [`10.0.9.${60 + at}`, `fd00:9::${60 + at}`];
      await lab.step(`${subject.name}: ${addresses.join(' and ')}, added later, are answered`, () =>
        comeAndGo(lab, host, subject.name, addresses, join(room, `client-${at}`)),
      );
      if (subject.listen !== undefined) await plugIn(lab, lan, at, `10.0.9.${70 + at}`);
      if (!subject.hasAllOfLoopback) continue;
      await lab.step(`${subject.name}: 127.0.0.9 is answered over UDP and TCP`, async () => {
        for (const transport of ['+notcp', '+tcp']) await isAnswered(host, '127.0.0.9', transport);
      });
    }
  },
};

async function startOurs(
  host: Namespace,
  program: string,
  config: string,
  { environment, listen }: Subject,
): Promise<Background> {
  await writeFile(
    config,
    JSON.stringify({
      clusters: [
        { name: 'c', endpoint: ENDPOINT, pin: [PINNED], sources: ['dns'], probe: { enabled: false } },
      ],
      upstreams: ['127.0.0.1:5399'],
      state: { directory: `${config}.state` },
      ...(listen === undefined ? {} : { listen }),
    }),
  );
  const server = new Background(host.within([program, 'serve', '--config', config]), {
    env: { ...machineEnvironment(), ...environment },
  });
  await server.printed(/"listening"/);
  return server;
}

async function startDnsmasq(host: Namespace): Promise<Background> {
  const record = `--host-record=${ENDPOINT},${PINNED}`;
  const server = new Background(host.within([...BARE_DNSMASQ, '--no-hosts', '--bind-dynamic', record]));
  await server.printed(/started/);
  return server;
}

/** Adds the addresses while clients on the host itself ask them, so that no ARP is in the time. */
async function comeAndGo(
  lab: Lab,
  host: Namespace,
  name: string,
  addresses: readonly string[],
  file: string,
): Promise<void> {
  await using events = new AddressEvents(host);
  await using owned = new AsyncDisposableStack();
  const clients: SteadyClient[] = [];
  for (const [at, address] of addresses.entries())
    clients.push(
      owned.use(await SteadyClient.start(host, address, ENDPOINT, QUERIES_PER_SECOND, `${file}-${at}`)),
    );
  for (const address of addresses)
    await must([
      'ip',
      '-n',
      host.name,
      'address',
      'add',
      `${address}/${address.includes(':') ? 64 : 24}`,
      'dev',
      INTERFACE,
    ]);
  for (const address of addresses)
    for (const transport of ['+notcp', '+tcp']) await isAnswered(host, address, transport);
  await sleep(100); // the clients have seen it too
  for (const [at, address] of addresses.entries()) {
    const answered = await clients[at]?.end();
    const [first, ...later] = events.of(address);
    assert.ok(first !== undefined && answered?.[0] !== undefined, `${address} came and was answered`);
    const { sentMs, tookMs } = answered[0];
    const since = (ms: number): string => `${(sentMs + tookMs - ms).toFixed(0)} ms`;
    const detected = later.at(-1);
    const more =
      detected === undefined ? '' : `, ${since(detected)} after the end of duplicate address detection`;
    lab.note(`${name}: ${address} answered ${since(first)} after its arrival${more}`);
  }
}

/**
 * An address that the host has before its cable is plugged in: Node lists it only with the carrier, and no address changes then.
 * With IPv6 a link-local address would come.
 */
async function plugIn(lab: Lab, lan: Lan, at: number, address: string): Promise<void> {
  const host = lan.hosts[at];
  assert.ok(host !== undefined);
  await must(host.within(['sh', '-c', `echo 1 >/proc/sys/net/ipv6/conf/${INTERFACE}/disable_ipv6`]));
  await lan.setCable(at, 'down');
  await must(['ip', '-n', host.name, 'address', 'add', `${address}/24`, 'dev', INTERFACE]);
  await sleep(500);
  await lab.step(`${address}, there before the cable is plugged in, is answered`, async () => {
    const startedMs = performance.now();
    await lan.setCable(at, 'up');
    await isAnswered(host, address, '+notcp');
    lab.note(
      `answered ${(performance.now() - startedMs).toFixed(0)} ms after the cable (looked at every 50 ms)`,
    );
  });
}

async function isAnswered(host: Namespace, address: string, transport: string): Promise<void> {
  const within = (command: Command) => host.within(command);
  await eventually(`${address} answers, ${transport}`, WITHIN_MS, async () => {
    const { answer } = await dig(within, `@${address}`, ENDPOINT, transport, '+tries=1', '+timeout=1');
    return answer[0]?.data === PINNED ? true : undefined;
  });
}
