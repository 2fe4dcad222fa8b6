/**
 * `outpost-dns check`: is this host ready for an outage? Reads the configuration, the state on disk and the hosts file,
 * asks nobody but the server that runs here, and changes nothing.
 */
import { type StatusReport, statusReport } from '../admin/status-report.ts';
import type { Config } from '../config/config.ts';
import type { Fault } from '../config/fault.ts';
import { readEndpoints } from '../store/endpoints-reader.ts';
import { systemFiles } from '../store/file-system.ts';
import { readGenerations } from '../store/generation-reader.ts';
import { RETAINED } from '../store/retained-format.ts';
import { configFindings } from './config-findings.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { bySeverity, type Finding, formatFindings, problem, warning } from './finding.ts';
import { HOSTS_FILE, hostsFindings, readHosts } from './hosts-file.ts';
import { retainedFindings } from './retained-findings.ts';
import { findServer, findServerOrExplain, reachable } from './running-server.ts';
import { lookAtDirectory } from './state-directory-look.ts';
import { recordsOf, type StateFacts, stateFindings } from './state-findings.ts';
import { getFromServer } from './status-client.ts';
import { type Paint, paintForTerminal } from './terminal-text.ts';

const CHECKED = 'write it';

export async function check(configFile: string | undefined, json: boolean): Promise<ExitCode> {
  const found = await findServer(configFile);
  if (found.kind === 'faulty') {
    if (json) printJson(found.error.faults, []);
    else process.stderr.write(`${found.error.message}\n`);
    return EXIT.usage;
  }
  const config = found.kind === 'found' ? found.config : await findServerOrExplain(configFile, CHECKED);
  if (config === undefined) return EXIT.usage;
  const findings = bySeverity(await findAll(config, HOSTS_FILE, Date.now()));
  if (json) printJson([], findings);
  else process.stdout.write(`${report(config, findings, paintForTerminal).join('\n')}\n`);
  return findings.some(({ severity }) => severity === 'problem') ? EXIT.finding : EXIT.well;
}

function printJson(faults: readonly Fault[], findings: readonly Finding[]): void {
  process.stdout.write(`${JSON.stringify({ faults, findings }, null, 2)}\n`);
}

/** Everything that is found, in no order. `nowMs` is wall time. */
export async function findAll(config: Config, hostsFile: string, nowMs: number): Promise<readonly Finding[]> {
  const { directory } = config.state;
  const look = await lookAtDirectory(directory);
  const reading = await readEndpoints(systemFiles, directory);
  const facts = { directory, look, reading, nowMs };
  return [
    ...stateFindings(config, facts),
    ...(await hostsFileFindings(config, facts, hostsFile)),
    // where no server has ever run that is said already, and nothing can have been retained
    ...(reading.served === undefined ? [] : await retainedOnDisk(config)),
    ...configFindings(config),
    ...(await runningFindings(config)),
  ];
}

const STATUS_TIMEOUT_MS = 1000;

/** What only the server knows, where one runs. */
async function runningFindings({ admin, state }: Config): Promise<readonly Finding[]> {
  const answer = await getFromServer(reachable(admin.listen), '/status', STATUS_TIMEOUT_MS);
  if (answer.kind === 'failed' || answer.status !== 200) return [];
  const report = readStatus(answer.body);
  if (report === undefined || report.state.isOurs || report.state.directory !== state.directory) return [];
  return [
    problem(
      `the server that runs writes nothing: ${report.state.faults.join('; ')}`,
      'give each server a state.directory of its own, or end the other one',
    ),
  ];
}

function readStatus(text: string): StatusReport | undefined {
  try {
    return statusReport.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

async function retainedOnDisk({ retain, state }: Config): Promise<readonly Finding[]> {
  return retainedFindings(retain, await readGenerations(systemFiles, state.directory, RETAINED));
}

async function hostsFileFindings(
  { clusters }: Config,
  { reading }: StateFacts,
  hostsFile: string,
): Promise<readonly Finding[]> {
  const lines = await readHosts(hostsFile);
  if ('code' in lines) {
    const what = `"${hostsFile}" cannot be read (${lines.code}): whether it overrides an endpoint is not known`;
    return [warning(what, 'look into it for the name of the endpoint')];
  }
  const records = recordsOf(clusters, reading.served?.records ?? []);
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

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
