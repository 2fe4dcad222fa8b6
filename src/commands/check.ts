/**
 * `outpost-dns check`: finds out whether this host is ready for an outage. The command reads the configuration, the state on disk
 * and the hosts file, and asks only the running server on this host. It changes nothing.
 */
import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import type { Fault } from '../config/fault.ts';
import { ENDPOINTS } from '../store/endpoints-format.ts';
import { RETAINED } from '../store/retained-format.ts';
import { FileReader } from '../store/state-backend.ts';
import { readState } from '../store/state-format.ts';
import { bySeverity, type Finding, formatFindings, problem, warning } from './check/finding.ts';
import { configFindings, HOSTS_FILE, hostsFindings, readHosts, retainedFindings } from './check/host.ts';
import { inspectDirectory, recordsOf, type StateFacts, stateFindings } from './check/state.ts';
import { explainNoConfig, placesOf, searchConfig } from './running-server.ts';
import { getStatus } from './server-client.ts';
import { EXIT, type ExitCode, OPTION, type Run } from './subcommand.ts';
import { type Paint, paintForTerminal, plural, print } from './terminal.ts';

interface CheckOptions {
  readonly config?: string;
  readonly json?: true;
}

export function define(command: Command, { ended }: Run): void {
  command
    .option(...OPTION.config)
    .option(...OPTION.json)
    .action(async (options: CheckOptions) => ended(await check(options)));
}

async function check({ config: file, json }: CheckOptions): Promise<ExitCode> {
  const search = await searchConfig(file);
  if (search.kind === 'faulty') {
    if (json) printJson(search.error.faults, []);
    else process.stderr.write(`${search.error.message}\n`);
    return EXIT.usage;
  }
  if (search.kind === 'none') return explainNoConfig();
  const { config } = search;
  const findings = bySeverity(await findAll(config, HOSTS_FILE, Date.now()));
  if (json) printJson([], findings);
  else print(report(config, findings, paintForTerminal));
  return findings.some(({ severity }) => severity === 'problem') ? EXIT.finding : EXIT.well;
}

/** `what` and `mend` are the names of version 0.1: they go with the next release. */
function printJson(faults: readonly Fault[], findings: readonly Finding[]): void {
  const both = findings.map((finding) => ({ ...finding, what: finding.text, mend: finding.fix }));
  print(JSON.stringify({ faults, findings: both }, null, 2));
}

/** All findings, in no order; a further check is a function here. `nowMs` is wall time. */
export async function findAll(config: Config, hostsFile: string, nowMs: number): Promise<readonly Finding[]> {
  const { directory } = config.state;
  const state = await inspectDirectory(directory);
  const reading = await readState(new FileReader(directory), ENDPOINTS);
  const facts = { directory, state, reading, nowMs };
  return [
    ...stateFindings(config, facts),
    ...(await hostsFileFindings(config, facts, hostsFile)),
    // without a state file no server has ever run: a finding says so already, and no name can have been retained
    ...(reading.served === undefined ? [] : await retainedOnDisk(config)),
    ...configFindings(config),
    ...(await runningFindings(config)),
  ];
}

const STATUS_TIMEOUT_MS = 1000;

/** The finding that only a running server knows. */
async function runningFindings(config: Config): Promise<readonly Finding[]> {
  const reading = await getStatus(placesOf(config).admin, STATUS_TIMEOUT_MS);
  if (reading.kind === 'failed') return [];
  const { isOurs, directory, faults } = reading.facts.state;
  if (isOurs || directory !== config.state.directory) return [];
  return [
    problem(
      'state-other-writer',
      `the running server writes nothing: ${faults.join('; ')}`,
      'give each server a state.directory of its own, or end the other server',
    ),
  ];
}

async function retainedOnDisk({ retain, state }: Config): Promise<readonly Finding[]> {
  return retainedFindings(retain, await readState(new FileReader(state.directory), RETAINED));
}

async function hostsFileFindings(
  { clusters }: Config,
  { reading }: StateFacts,
  hostsFile: string,
): Promise<readonly Finding[]> {
  const lines = await readHosts(hostsFile);
  if ('code' in lines) {
    const text = `"${hostsFile}" cannot be read (${lines.code}): whether it overrides an endpoint is not known`;
    return [warning('hosts-file-unreadable', text, 'search it for the name of the endpoint')];
  }
  const records = recordsOf(clusters, reading.served?.content ?? []);
  const known = clusters.flatMap((cluster) => {
    const record = records.get(cluster);
    const endpoint = cluster.endpoint ?? record?.endpoint;
    if (endpoint === undefined) return [];
    const kept = record?.addresses.map(({ address }) => address) ?? [];
    return [{ endpoint, addresses: cluster.pin.length > 0 ? cluster.pin : kept }];
  });
  return hostsFindings(hostsFile, lines, known);
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
