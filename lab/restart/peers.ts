/**
 * Runs inside the booted machine of bench/restart.ts: the same load and the same ten restarts for each DNS server that the machine
 * has. Prints a line of JSON for each.
 *
 *     node peers.ts <endpoint> <port of the upstream>
 */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Load } from './load.ts';
import { startUpstream } from './wire.ts';

/** One restart, as the load has seen it. */
export interface RestartSample {
  readonly asked: number;
  readonly lost: number;
  readonly longestMs: number;
}

export interface RestartResult {
  readonly name: string;
  readonly samples: readonly RestartSample[];
}

interface Contender {
  readonly name: string;
  readonly unit: string;
  /** Arguments of `systemctl`, before the first start and after the last stop. */
  readonly before?: readonly (readonly string[])[];
  readonly after?: readonly (readonly string[])[];
}

const CONTENDERS: readonly Contender[] = [
  {
    name: 'outpost-dns',
    unit: 'outpost-dns.service',
    before: [['start', 'outpost-dns.socket']],
    after: [['stop', 'outpost-dns.socket']],
  },
  {
    name: 'outpost-dns without its socket unit',
    unit: 'outpost-dns.service',
    before: [['mask', '--runtime', 'outpost-dns.socket']],
    after: [['unmask', '--runtime', 'outpost-dns.socket']],
  },
  { name: 'Unbound', unit: 'unbound.service' },
  { name: 'BIND', unit: 'named.service' },
  { name: 'dnsmasq', unit: 'dnsmasq.service' },
];
const ROUNDS = 10;
const CALM_MS = 700;
const WARM_MS = 2_000;
const COMMAND_MS = 60_000;
const UPSTREAM_MS = 20;

const [endpoint = '', upstreamPort = ''] = process.argv.slice(2);
const execute = promisify(execFile);
const systemctl = (words: readonly string[]) => execute('systemctl', words, { timeout: COMMAND_MS });

const upstream = await startUpstream(Number(upstreamPort), UPSTREAM_MS);
for (const contender of CONTENDERS) {
  const result = await measure(contender).catch((error: unknown) => {
    console.error(error);
    return { name: contender.name, samples: [] };
  });
  console.log(JSON.stringify(result satisfies RestartResult));
}
upstream.close();
process.exit(0);

async function measure({ name, unit, before = [], after = [] }: Contender): Promise<RestartResult> {
  for (const words of before) await systemctl(words);
  await systemctl(['start', unit]);
  const load = await Load.start({
    server: '127.0.0.1',
    port: 53,
    rate: 1_000,
    tcpClients: 0,
    nameOf: (kind, index) =>
      kind === 'endpoint'
        ? endpoint
        : kind === 'cached'
          ? `cached-${index % 50}.example.com`
          : `new-${index}.example.com`,
  });
  await load.untilAnswered();
  await sleep(WARM_MS);
  const marks: number[] = [load.asked];
  for (let round = 0; round < ROUNDS; round++) {
    // five starts within ten seconds are all that systemd allows otherwise
    await systemctl(['reset-failed', unit]).catch(() => undefined);
    await systemctl(['restart', unit]);
    await load.untilAnswered();
    await sleep(CALM_MS + 7 * round);
    marks.push(load.asked);
  }
  await load.end();
  await systemctl(['stop', unit]);
  for (const words of after) await systemctl(words);
  const samples = marks.slice(1).map((to, round) => {
    const { asked, lost, longestMs } = load.figures(marks[round] ?? 0, to);
    return { asked, lost, longestMs };
  });
  return { name, samples };
}
