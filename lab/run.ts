/**
 * `npm run test:lab [check ...]`: the product with other people's programs, on one machine: dig, BIND, Unbound, dnsmasq, kubectl,
 * systemd, a container image, Prometheus. Needs root and Debian; what is missing is named. Exit code 0: all held, 1: something did
 * not, 2: it cannot run here.
 */
import { parseArgs } from 'node:util';
import { addressProof } from './address-proof.ts';
import { arrivals } from './arrivals.ts';
import { behindResolvers } from './behind-resolvers.ts';
import { bundle } from './bundle.ts';
import type { Lab, LabCheck } from './check.ts';
import { coldBoot } from './cold-boot.ts';
import { collector } from './collector.ts';
import { containerImage } from './container-image.ts';
import { cutResolvers } from './cut-resolvers.ts';
import { digTable } from './dig-table.ts';
import { hungDisk } from './hung-disk.ts';
import { interrupted } from './interrupted.ts';
import { keepalived } from './keepalived.ts';
import { movedClock } from './moved-clock.ts';
import { outage } from './outage.ts';
import { packages } from './packages.ts';
import { port53 } from './port-53.ts';
import { preflight } from './preflight.ts';
import { prometheus } from './prometheus.ts';
import { readmeCommands } from './readme-commands.ts';
import { siteExports } from './site-exports.ts';
import { soak } from './soak.ts';
import { statusPageCheck } from './status-page.ts';
import { stubResolvers } from './stub-resolvers.ts';
import { systemdBoot } from './systemd-boot.ts';
import { systemdUnit } from './systemd-unit.ts';
import { packagesMissing } from './tools.ts';
import { validators } from './validators.ts';
import { Workshop } from './workshop.ts';

const CHECKS: readonly LabCheck[] = [
  digTable,
  readmeCommands,
  behindResolvers,
  cutResolvers,
  siteExports,
  outage,
  addressProof,
  port53,
  arrivals,
  keepalived,
  preflight,
  stubResolvers,
  validators,
  prometheus,
  statusPageCheck,
  bundle,
  packages,
  coldBoot,
  collector,
  hungDisk,
  interrupted,
  movedClock,
  soak,
  systemdUnit,
  systemdBoot,
  containerImage,
];

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { list: { type: 'boolean' }, packages: { type: 'boolean' } },
  });
  if (values.list) {
    for (const { name, about } of CHECKS) console.log(`${name.padEnd(12)} ${about}`);
    return 0;
  }
  const unknown = positionals.find((word) => !CHECKS.some(({ name }) => name === word));
  if (unknown !== undefined)
    return refuse(`no check is named "${unknown}": there are ${CHECKS.map(({ name }) => name).join(', ')}`);
  const chosen = CHECKS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const missing = packagesMissing(chosen.flatMap(({ tools }) => tools));
  if (values.packages) {
    if (missing.length > 0) console.log(missing.join(' '));
    return 0;
  }
  if (process.getuid?.() !== 0)
    return refuse('the lab makes network namespaces and root folders: run it as root');
  if (missing.length > 0)
    return refuse(`programs are missing: apt-get install --no-install-recommends ${missing.join(' ')}`);
  return runAll(chosen);
}

function refuse(sentence: string): number {
  console.error(`lab: ${sentence}`);
  return 2;
}

async function runAll(checks: readonly LabCheck[]): Promise<number> {
  await using workshop = await Workshop.open();
  const count = { passed: 0, failed: 0 };
  for (const check of checks) {
    const startedMs = performance.now();
    console.log(`# ${check.name}: ${check.about}`);
    const lab = labFor(check, workshop, count);
    const before = count.passed + count.failed;
    try {
      await check.run(lab);
      if (count.passed + count.failed === before) throw new Error('it made no step');
    } catch (error) {
      count.failed++;
      console.log(`not ok - ${check.name}: ${explain(error)}`);
    }
    console.log(`# ${check.name}: ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  }
  console.log(`${count.passed} passed, ${count.failed} failed`);
  return count.failed === 0 ? 0 : 1;
}

function labFor(check: LabCheck, workshop: Workshop, count: { passed: number; failed: number }): Lab {
  return {
    workshop,
    async step(name, action) {
      try {
        await action();
        count.passed++;
        console.log(`ok - ${check.name}: ${name}`);
        return true;
      } catch (error) {
        count.failed++;
        console.log(`not ok - ${check.name}: ${name}: ${explain(error)}`);
        return false;
      }
    },
    note: (text) => console.log(`    ${text}`),
  };
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\n${explain(error.cause)}`;
  return `${error.message}${cause}`.replaceAll('\n', '\n    ');
}

process.exitCode = await main(process.argv.slice(2));
