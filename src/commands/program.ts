/**
 * Commands: one file for each subcommand. They are the edge: they read arguments, environment and files, print for a
 * person (or JSON with --json) and turn what happened into an exit code.
 */
import { Command, CommanderError, Option } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { catchSignals, type Signals } from '../runtime/signals.ts';
import { DEFAULT_CONFIG_FILE } from './default-config-file.ts';
import type { DrillReportOptions, DrillStartOptions } from './drill.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { HistoryOptions } from './history.ts';
import type { LookupOptions } from './lookup.ts';
import { watchOutput } from './output.ts';
import type { StateDirectoryOptions } from './running-server.ts';
import type { StatusOptions } from './status.ts';

/** Runs the command that `words` name; each command's file is loaded only when it is the one. `signals` are those of a server. */
export async function run(words: readonly string[], signals?: Signals): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.well;
  if (signals === undefined) watchOutput(); // a server's output is its log
  const program = createProgram((code) => {
    exitCode = code;
  }, signals);
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT.well : EXIT.usage;
  }
  return exitCode;
}

type Ended = (code: ExitCode) => void;

function createProgram(ended: Ended, signals: Signals | undefined): Command {
  const program = new Command('outpost-dns')
    .description(
      "The DNS server that keeps an EKS local cluster's endpoint resolvable while the Outpost is cut off from AWS.",
    )
    .version(packageJson.version)
    .showHelpAfterError('(outpost-dns --help lists the commands)')
    // an option of `sandbox link` is its own, also where `sandbox` has one of that name
    .enablePositionalOptions()
    .exitOverride();
  // in the order in which the help lists them
  addServe(program, ended, signals);
  addCheck(program, ended);
  addStatus(program, ended);
  addLookup(program, ended);
  addExport(program, ended);
  addHistory(program, ended);
  addDrill(program, ended);
  addSandbox(program, ended);
  return program;
}

const configFile = () =>
  new Option('-c, --config <file>', 'configuration file').default(undefined, DEFAULT_CONFIG_FILE);
const stateDirectory = () =>
  new Option('--state <directory>', 'state directory, instead of the one in the configuration');
const json = () => new Option('--json', 'print JSON instead of a table');

function addServe(program: Command, ended: Ended, signals: Signals | undefined): void {
  program
    .command('serve')
    .description('run the server')
    .addOption(configFile())
    .action(async (options: { config?: string }) =>
      ended(await (await import('./serve.ts')).serve(options.config, signals ?? catchSignals())),
    );
}

function addCheck(program: Command, ended: Ended): void {
  program
    .command('check')
    .description('is this host ready for an outage? each finding with its fix')
    .addOption(configFile())
    .addOption(json())
    .action(async (options: { config?: string; json?: true }) =>
      ended(await (await import('./check.ts')).check(options.config, options.json === true)),
    );
}

function addStatus(program: Command, ended: Ended): void {
  program
    .command('status')
    .description('what is served, from which source, how fresh, link, upstreams')
    .addOption(configFile())
    .option('--admin <address>', "HTTP address of the server, instead of the configuration's admin.listen")
    .option('--healthy', 'print nothing; exit 0 when the server is alive and answers, ready or not')
    .addOption(json())
    .action(async (options: StatusOptions) => ended(await (await import('./status.ts')).status(options)));
}

function addLookup(program: Command, ended: Ended): void {
  program
    .command('lookup')
    .description('ask a server, show where the answer came from')
    .argument('<name>', 'domain name')
    .argument('[type]', 'record type', 'A')
    .option('-s, --server <address>', "server to ask, instead of the configuration's listen.dns")
    .addOption(configFile())
    .addOption(json())
    .action(async (name: string, type: string, options: LookupOptions) =>
      ended(await (await import('./lookup.ts')).lookup(name, type, options)),
    );
}

function addExport(program: Command, ended: Ended): void {
  program
    .command('export')
    .description('the records, from the state file, whether or not a server runs')
    .addOption(new Option('-f, --format <format>').choices(['hosts', 'json', 'zone']).default('hosts'))
    .addOption(configFile())
    .addOption(stateDirectory())
    .action(async (options: { format: 'hosts' | 'json' | 'zone'; config?: string; state?: string }) =>
      ended(await (await import('./export.ts')).exportRecords(options)),
    );
}

function addHistory(program: Command, ended: Ended): void {
  program
    .command('history')
    .description('what happened: the link, addresses, drills, starts and stops; whether or not a server runs')
    .addOption(configFile())
    .addOption(stateDirectory())
    .option('-k, --kind <kind...>', 'only these kinds, such as link, addresses, drill')
    .option('--since <time>', 'how long ago, such as 2d, or a date such as 2026-01-01')
    .option('-n, --limit <count>', 'so many of the newest')
    .addOption(json())
    .action(async (options: HistoryOptions) => ended(await (await import('./history.ts')).history(options)));
}

function addDrill(program: Command, ended: Ended): void {
  const drill = program
    .command('drill')
    .description('rehearse an outage with this server alone, without touching the link');
  drill
    .command('start')
    .description('treat AWS, and upstreams that are not on the site, as unreachable for a while')
    .requiredOption('--for <duration>', 'how long, such as 30m; it then ends by itself')
    .addOption(configFile())
    .addOption(stateDirectory())
    .action(async (options: DrillStartOptions) =>
      ended(await (await import('./drill.ts')).startDrill(options)),
    );
  drill
    .command('stop')
    .description('end it now, and say who would have been hurt')
    .addOption(configFile())
    .addOption(stateDirectory())
    .action(async (options: StateDirectoryOptions) =>
      ended(await (await import('./drill.ts')).stopDrill(options)),
    );
  drill
    .command('report')
    .description('who would have been hurt, and what to retain: of the drill that runs, or of the last one')
    .addOption(configFile())
    .addOption(stateDirectory())
    .addOption(json())
    .action(async (options: DrillReportOptions) =>
      ended(await (await import('./drill.ts')).reportDrill(options)),
    );
}

function addSandbox(program: Command, ended: Ended): void {
  const port = () => new Option('--port <port>', 'DNS port of the sandboxed server').default('5300');
  const sandbox = program
    .command('sandbox')
    .description('a simulated AWS Region and the server against it, all on loopback')
    .addOption(port())
    .addOption(new Option('--http-port <port>', 'HTTP port of the sandboxed server').default('9153'))
    .option('--region-only', 'run the Region without the server; print how to reach it as JSON')
    .action(async (options: { port: string; httpPort: string; regionOnly?: true }) =>
      ended(await (await import('./sandbox.ts')).sandbox(options)),
    );
  sandbox
    .command('link')
    .description('cut the link to the simulated Region, or restore it')
    .argument('<state>', 'down, up, or refused (answers with resets instead of silence)')
    .addOption(port())
    .action(async (state: string, options: { port: string }) =>
      ended(await (await import('./sandbox-link.ts')).setLink(state, options.port)),
    );
  sandbox
    .command('patch')
    .description('take a rolling patch of the simulated control plane one moment further')
    .argument('[cluster]', 'name of the cluster', 'demo')
    .addOption(port())
    .action(async (cluster: string, options: { port: string }) =>
      ended(await (await import('./sandbox-patch.ts')).patchCluster(cluster, options.port)),
    );
}
