/**
 * `outpost-dns check`: finds out whether this host and this site are ready for an outage. It reads the configuration and the
 * state. It asks the running server, AWS and the upstreams, side by side and each for some seconds at most. It changes
 * nothing.
 */

import { type Command, InvalidArgumentError } from 'commander';
import type { Config } from '../config/config.ts';
import type { Fault } from '../config/fault.ts';
import type { SocketAddress } from '../config/kinds/address.ts';
import { plural } from '../report/report.ts';
import { RETAINED } from '../store/retained-format.ts';
import { FileReader } from '../store/state-backend.ts';
import { readState } from '../store/state-format.ts';
import { askAws, awsFindings, clusterFindings } from './check/aws.ts';
import { bySeverity, type Finding, formatFindings } from './check/finding.ts';
import {
  configFindings,
  durabilityFindings,
  HOSTS_FILE,
  hostsFileFindings,
  retainedFindings,
} from './check/host.ts';
import { portFindings, resolverFindings } from './check/host-dns.ts';
import { kubeconfigFindings } from './check/kubeconfig.ts';
import {
  addressFindings,
  againstFindings,
  asIfCutFindings,
  behindFindings,
  serverFindings,
  writerFindings,
} from './check/running.ts';
import { openSite, type Site, type SiteOptions } from './check/site.ts';
import { stateFindings } from './check/state.ts';
import { askUpstreams, publicFindings, upstreamFindings } from './check/upstreams.ts';
import { explainNoConfig, searchConfig } from './running-server.ts';
import { readHttpAddress } from './server-client.ts';
import { EXIT, type ExitCode, OPTION, type Paint, paintForTerminal, print, type Run } from './subcommand.ts';

export interface CheckOptions {
  readonly config?: string;
  readonly json?: true;
  /** Asks no network. */
  readonly offline?: true;
  readonly kubeconfig?: string;
  readonly against?: SocketAddress;
  readonly asIfCut?: true;
}

export function define(command: Command, { ended }: Run): void {
  command
    .option(...OPTION.config)
    .option(...OPTION.json)
    .option('--offline', 'look at configuration, state and this host alone: ask no AWS and no upstream')
    .option('--kubeconfig <file>', 'also: would kubectl with this file get in during an outage?')
    .option(
      '--against <address>',
      'also: does this second server answer the same? its HTTP, such as 10.0.9.54:9153',
      readAgainst,
    )
    .option('--as-if-cut', 'also: what would fail if the link were cut now? no client notices')
    .action(async (options: CheckOptions) => ended(await check(options)));
}

function readAgainst(text: string): SocketAddress {
  const reading = readHttpAddress(text);
  if ('address' in reading) return reading;
  throw new InvalidArgumentError(`${reading.message}\n    ${reading.fix}`);
}

async function check(options: CheckOptions): Promise<ExitCode> {
  const { json } = options;
  const search = await searchConfig(options.config);
  if (search.kind === 'faulty') {
    if (json) printJson(search.error.faults, []);
    else process.stderr.write(`${search.error.message}\n`);
    return EXIT.usage;
  }
  if (search.kind === 'none') return explainNoConfig();
  const { config, environment, isSandbox } = search;
  // the clients of AWS read their settings from the environment, and the server has its own
  Object.assign(process.env, environment);
  const findings = await findAll(config, options, {
    hostsFile: HOSTS_FILE,
    resolvConf: '/etc/resolv.conf',
    nowMs: Date.now(),
    isSandbox,
    say: process.stderr.isTTY ? (line) => process.stderr.write(`${line}\n`) : undefined,
  });
  if (json) printJson([], findings);
  else print(report(config, findings, paintForTerminal));
  return findings.some(({ severity }) => severity === 'problem') ? EXIT.finding : EXIT.well;
}

/** `what` and `mend` are the names of version 0.1: they go with the next release. */
function printJson(faults: readonly Fault[], findings: readonly Finding[]): void {
  const both = findings.map((finding) => ({ ...finding, what: finding.text, mend: finding.fix }));
  print(JSON.stringify({ faults, findings: both }, null, 2));
}

/** All findings, problems first. */
export async function findAll(
  config: Config,
  options: CheckOptions,
  { say, ...around }: SiteOptions & { readonly say?: Say },
): Promise<readonly Finding[]> {
  using site = await openSite(config, around);
  const findings = await runRows(rowsOf(site, options), say);
  // two rows may see the same fault, and two sources may fail for one reason
  return bySeverity([...new Map(findings.map((one) => [`${one.code} ${one.text}`, one])).values()]);
}

/** The parts of the site that `check` inspects. A further check is a row here, and its codes in check/codes.ts. */
function rowsOf(site: Site, { offline, kubeconfig, against, asIfCut }: CheckOptions): readonly Row[] {
  return [
    { name: 'the state', find: () => stateFindings(site.config, site.state, site.server !== undefined) },
    { name: 'the file system of the state', find: () => durabilityFindings(site) },
    {
      name: 'the running server',
      find: () => [...serverFindings(site), ...writerFindings(site), ...behindFindings(site)],
    },
    { name: 'port 53', find: () => portFindings(site) },
    { name: 'the hosts file', find: () => hostsFileFindings(site) },
    { name: 'the retained names', find: () => retainedOnDisk(site) },
    { name: 'the configuration', find: () => configFindings(site.config) },
    { name: 'the addresses', find: () => addressFindings(site) },
    ...(offline ? [] : onNetwork(site)),
    ...(kubeconfig === undefined
      ? []
      : [{ name: 'the kubeconfig', find: () => kubeconfigFindings(site, kubeconfig) }]),
    ...(against === undefined
      ? []
      : [{ name: 'the second server', find: () => againstFindings(site, against) }]),
    ...(asIfCut ? [{ name: 'a cut', find: () => asIfCutFindings(site) }] : []),
  ];
}

/** The rows that ask beyond this host. AWS and the upstreams are asked once, for several rows. */
function onNetwork(site: Site): readonly Row[] {
  const [aws, upstreams] = [askAws(site), askUpstreams(site)];
  return [
    { name: 'AWS', find: async () => awsFindings(site, await aws) },
    {
      name: 'the upstreams',
      find: async () => [
        ...upstreamFindings(site, await upstreams, (await aws).isCut),
        ...publicFindings(site.config),
      ],
    },
    {
      name: 'the sources',
      find: async () => clusterFindings(await aws, site, (await upstreams)[0]?.addresses ?? []),
    },
    { name: 'the resolver of this host', find: () => resolverFindings(site) },
  ];
}

async function retainedOnDisk({ config, state }: Site): Promise<readonly Finding[]> {
  // without a state file no server has ever run: a finding says so already, and no name can have been retained
  if (state.reading.served === undefined) return [];
  const { retain } = config;
  return retainedFindings(retain, await readState(new FileReader(state.directory), RETAINED));
}

/** The lines for a person; the last one sums up. */
export function report({ clusters }: Config, findings: readonly Finding[], paint: Paint): string[] {
  const count = (severity: Finding['severity']) => findings.filter((one) => one.severity === severity).length;
  const [problems, warnings] = [count('problem'), count('warning')];
  const counted = `${plural(problems, 'problem')}, ${plural(warnings, 'warning')}`;
  const endpoints = plural(clusters.length, 'endpoint');
  const summary =
    problems > 0
      ? paint('red', `not ready for an outage: ${counted}`)
      : paint('green', `ready for an outage: ${endpoints}, ${warnings > 0 ? counted : 'no finding'}`);
  return [...formatFindings(findings, paint), summary];
}

// Runs the rows of `check` side by side, each with a bound on its time. A row that takes over a second says so on a
// terminal, line by line; in a pipe nothing is said.

export interface Row {
  /** The thing that the row inspects, for the line of progress: `the upstreams`. */
  readonly name: string;
  readonly find: () => Promise<readonly Finding[]> | readonly Finding[];
}

/** Writes one line; undefined: nobody reads it. */
export type Say = ((line: string) => void) | undefined;

const SILENT_MS = 1_000;

/** The findings of all rows, in the order of the rows. */
async function runRows(rows: readonly Row[], say: Say): Promise<readonly Finding[]> {
  const found = await Promise.all(rows.map((row) => runRow(row, say)));
  return found.flat();
}

async function runRow({ name, find }: Row, say: Say): Promise<readonly Finding[]> {
  const startedMs = performance.now();
  let isSaid = false;
  const timer = setTimeout(() => {
    isSaid = true;
    say?.(`looking at ${name} ...`);
  }, SILENT_MS);
  try {
    return await find();
  } finally {
    clearTimeout(timer);
    if (isSaid) say?.(`looked at ${name} in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
  }
}
