/**
 * `outpost-dns init`: writes a configuration with comments, from a few answers of a person, and from what AWS or a kubeconfig says of
 * the cluster. It overwrites no file unasked.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { loadConfig } from '../config/config.ts';
import { ConfigError } from '../config/fault.ts';
import { readOutbound } from '../config/outbound.ts';
import { FarSide } from '../far-side/far-side.ts';
import type { ClusterDetails } from '../records/endpoint-record.ts';
import { systemClock, systemTimers } from '../runtime/clock.ts';
import { isAbsent, systemCode } from '../runtime/system-errors.ts';
import { SILENT } from './check/site.ts';
import { policyFor } from './iam-policy.ts';
import { installedEnvironment } from './running-server.ts';
import { DEFAULT_CONFIG_FILE, EXIT, type ExitCode, print, printFailure, type Run } from './subcommand.ts';

interface InitOptions {
  readonly cluster?: string;
  readonly region?: string;
  readonly kubeconfig?: string;
  readonly profile?: string;
  readonly upstream?: readonly string[];
  readonly output: string;
  readonly force?: true;
  readonly policy?: true;
}

export function define(command: Command, { ended }: Run): void {
  command
    .option('--cluster <name>', 'name of the EKS local cluster')
    .option('--region <region>', 'AWS Region of its Outpost')
    .option(
      '--kubeconfig <file>',
      'take the endpoint, and name and Region where they are in it, from this file',
    )
    .option('--profile <name>', 'profile of the AWS configuration files')
    .option('--upstream <address...>', 'resolvers to forward other names to, such as 10.0.0.2 10.0.0.3')
    .option('-o, --output <file>', 'file to write; - is standard output', DEFAULT_CONFIG_FILE)
    .option('--force', 'replace the file where it exists')
    .option('--policy', 'print the least-privilege IAM policy, and write no file')
    .action(async (options: InitOptions) => ended(await init(options)));
}

async function init(options: InitOptions): Promise<ExitCode> {
  if (!options.force && !options.policy && options.output !== '-' && (await exists(options.output))) {
    printFailure(
      `"${options.output}" exists already: it is not touched`,
      'name another file with --output, or replace it with --force',
    );
    return EXIT.finding;
  }
  // the credentials of the service, where they are there already
  Object.assign(process.env, await installedEnvironment());
  const { outbound } = readOutbound(process.env);
  using farSide = new FarSide({ clock: systemClock, timers: systemTimers, log: SILENT, outbound });
  const known = await fromKubeconfig(options.kubeconfig, farSide);
  if ('fault' in known) {
    printFailure(known.fault, 'name a kubeconfig whose current context is that of the cluster');
    return EXIT.finding;
  }
  const ask = asker();
  try {
    const name = options.cluster ?? known.name ?? (await ask('Name of the EKS local cluster'));
    const region =
      options.region ?? known.region ?? (await ask('AWS Region of the Outpost', process.env['AWS_REGION']));
    if (!name || !region) return missing(name ? '--region' : '--cluster', options);
    if (options.policy) {
      const sources = ['cluster', 'interfaces'] as const;
      print(JSON.stringify(policyFor([{ name, region, sources }], known.accountId), null, 2));
      return EXIT.well;
    }
    const upstreams = options.upstream ?? (await askUpstreams(ask));
    if (upstreams.length === 0) return missing('--upstream', options);
    const { profile } = options;
    const seen = await discover({ name, region, profile }, farSide);
    const discovered = { name, region, profile, upstreams, endpoint: known.endpoint, ...seen };
    return await write(discovered, options);
  } finally {
    ask.close();
  }
}

function missing(flag: string, { policy }: InitOptions): ExitCode {
  printFailure(
    `${flag} is needed, and no answer was given for it`,
    policy
      ? 'outpost-dns init --policy --cluster NAME --region REGION'
      : 'outpost-dns init --cluster NAME --region REGION --upstream ADDRESS',
  );
  return EXIT.usage;
}

async function exists(file: string): Promise<boolean> {
  return readFile(file).then(
    () => true,
    (error: unknown) => !isAbsent(error),
  );
}

type Ask = ((question: string, suggestion?: string) => Promise<string | undefined>) & { close(): void };

/** Asks on a terminal; elsewhere only the suggestion counts. */
function asker(): Ask {
  const isTerminal = process.stdin.isTTY && process.stderr.isTTY;
  const lines = isTerminal ? createInterface({ input: process.stdin, output: process.stderr }) : undefined;
  // answers that are pasted at once come before their questions: the iterator keeps them
  const answers = lines?.[Symbol.asyncIterator]();
  const ask = async (question: string, suggestion?: string): Promise<string | undefined> => {
    if (answers === undefined) return suggestion;
    process.stderr.write(`${question}${suggestion ? ` [${suggestion}]` : ''}: `);
    const { value = '', done } = await answers.next();
    return done ? undefined : value.trim() || suggestion;
  };
  return Object.assign(ask, { close: () => lines?.close() });
}

type FromKubeconfig = Partial<Readonly<Record<'name' | 'region' | 'accountId' | 'endpoint', string>>>;

const DEADLINE_MS = 8_000;

async function fromKubeconfig(
  file: string | undefined,
  farSide: FarSide,
): Promise<FromKubeconfig | { readonly fault: string }> {
  if (file === undefined) return {};
  const request = { path: resolve(file), addresses: {}, authorities: {} };
  const facts = await farSide.inspectKubeconfig(request, AbortSignal.timeout(DEADLINE_MS));
  if (facts.kind === 'unusable') return { fault: facts.detail };
  if (facts.isAddress) return { fault: `"${file}" names the address ${facts.host} in place of the endpoint` };
  const arn = /^arn:[a-z-]+:eks:([a-z0-9-]+):(\d{12}):cluster\/(.+)$/.exec(facts.cluster);
  const [, region = /\.([a-z]{2}(?:-[a-z]+)+-\d)\./.exec(facts.host)?.[1], accountId, name] = arn ?? [];
  return {
    endpoint: facts.host,
    name,
    region,
    accountId,
  };
}

/** The servers that this host asks now: they are most likely right for the site. */
async function askUpstreams(ask: Ask): Promise<readonly string[]> {
  const texts = await Promise.all(RESOLV_FILES.map((file) => readFile(file, 'utf8').catch(() => '')));
  const own = new Set(
    Object.values(networkInterfaces()).flatMap((infos = []) => infos.map(({ address }) => address)),
  );
  const servers = texts.flatMap((text) =>
    [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, one = '']) => one),
  );
  const others = [...new Set(servers)].filter(
    (one) => !one.startsWith('127.') && one !== '::1' && !own.has(one),
  );
  const answer = await ask('Upstream resolvers, separated by spaces', others.join(' '));
  return (answer ?? '').split(/[\s,]+/).filter((one) => one !== '');
}

/** The second has the servers behind the stub of systemd-resolved. */
const RESOLV_FILES = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];

/** The facts that AWS gives about the cluster; where AWS gives none, a sentence for a comment of the file. */
async function discover(
  { name, region, profile }: Pick<Discovered, 'name' | 'region' | 'profile'>,
  farSide: FarSide,
): Promise<Pick<Discovered, 'details' | 'addresses' | 'failures'>> {
  const poll = (source: 'cluster' | 'interfaces', known: Partial<ClusterDetails> = {}) => {
    const { vpcId, subnetIds = [], generation } = known;
    const context = { cluster: name, region, vpcId, subnetIds, generation, knownAddresses: [] };
    return farSide.poll(source, { profile }, context, AbortSignal.timeout(DEADLINE_MS));
  };
  const described = await poll('cluster');
  const details = described.kind === 'details' ? described.details : undefined;
  const listed = await poll('interfaces', details);
  return {
    details,
    addresses: listed.kind === 'addresses' ? listed.addresses : [],
    failures: [...new Set([described, listed].flatMap((one) => (one.kind === 'failed' ? [one.detail] : [])))],
  };
}

async function write(discovered: Discovered, { output, force }: InitOptions): Promise<ExitCode> {
  const text = initialConfig(discovered);
  try {
    await loadConfig({
      text,
      file: output,
      explicit: true,
      environment: {},
      ownAddresses: [],
      readFile: NO_FILE,
    });
    if (output === '-') {
      print(text.trimEnd());
    } else {
      await mkdir(dirname(resolve(output)), { recursive: true });
      await writeFile(output, text, { flag: force ? 'w' : 'wx', mode: 0o644 });
    }
  } catch (error) {
    if (error instanceof ConfigError) {
      // the file is not written: the flag is at fault, and not a line of it
      for (const { path, value, message, fix } of error.faults)
        printFailure(`${flagOf(path)} ${value ?? ''}: ${message}`, fix);
      return EXIT.usage;
    }
    const code = systemCode(error);
    if (code === undefined) throw error;
    const fix =
      code === 'EEXIST' ? 'replace it with --force' : 'run it as root, or name another file with --output';
    printFailure(`cannot write "${output}": ${code}`, fix);
    return EXIT.finding;
  }
  if (output !== '-') print(nextSteps(discovered, output));
  return EXIT.well;
}

function flagOf(path: string): string {
  const key = /^clusters\[0\]\.(name|region|profile|endpoint)/.exec(path)?.[1];
  if (key === undefined) return '--upstream';
  return { name: '--cluster', endpoint: '--kubeconfig' }[key] ?? `--${key}`;
}

const NO_FILE = async (): Promise<never> => {
  throw new Error('the text of the configuration is at hand');
};

function nextSteps(
  { name, region, endpoint, details, addresses, failures }: Discovered,
  file: string,
): string[] {
  const found = details?.endpoint ?? endpoint;
  const config = file === DEFAULT_CONFIG_FILE ? '' : ` --config ${file}`;
  return [
    `wrote "${file}" for cluster "${name}" in ${region}`,
    ...(found === undefined ? [] : [`  endpoint   ${found}`]),
    ...(addresses.length === 0 ? [] : [`  addresses  ${addresses.join(', ')}`]),
    ...failures.map((failure) => `  not learned: ${failure}`),
    '',
    'next:',
    ...(failures.length === 0
      ? []
      : [
          `  outpost-dns init --policy --cluster ${name} --region ${region}     (the policy that its credentials need)`,
        ]),
    file === DEFAULT_CONFIG_FILE ? '  systemctl enable --now outpost-dns' : `  outpost-dns serve${config}`,
    `  outpost-dns check${config}`,
  ];
}

// The text of the configuration that `init` writes: the smallest that is useful, with a comment at each key. Pure.

export interface Discovered {
  readonly name: string;
  readonly region: string;
  readonly profile?: string | undefined;
  /** From a kubeconfig. */
  readonly endpoint?: string | undefined;
  /** From DescribeCluster. */
  readonly details?: ClusterDetails | undefined;
  readonly addresses: readonly string[];
  readonly upstreams: readonly string[];
  /** Why AWS said nothing. */
  readonly failures: readonly string[];
}

export function initialConfig({
  name,
  region,
  profile,
  endpoint,
  details,
  addresses,
  upstreams,
  failures,
}: Discovered): string {
  // DescribeCluster returns the endpoint; without it, only the name from the kubeconfig is known
  const isNamed = details === undefined && endpoint !== undefined;
  return `# The configuration of outpost-dns. docs/configuration.md explains every key, "outpost-dns check" finds its faults.

clusters:
  - name: ${scalar(name)}
    region: ${scalar(region)}
${isNamed ? `    # from the kubeconfig; where eks:DescribeCluster is allowed, this line can go\n    endpoint: ${scalar(endpoint)}\n` : ''}${profile === undefined ? '' : `    # the profile of the AWS configuration files\n    profile: ${scalar(profile)}\n`}${factsComment(details, addresses, failures)}
# Every other name is forwarded to these resolvers. Two are better than one; resolvers on the site go on in an outage.
upstreams:
${upstreams.map((one) => `  - ${scalar(one)}`).join('\n')}

# Names that the site needs in an outage besides the endpoint, such as a registry on the site: their last answer is kept.
# retain:
#   - registry.example.com

# Clients that may ask. The default is private networks.
# clients:
#   allow: [127.0.0.0/8, 10.0.0.0/8]

# Where the addresses survive a power cut: a directory on a disk.
# state:
#   directory: /var/lib/outpost-dns
`;
}

/** The facts need not be configured: the server learns them, and follows when they change. */
function factsComment(
  details: ClusterDetails | undefined,
  addresses: readonly string[],
  failures: readonly string[],
): string {
  const facts = [
    ...(details === undefined ? [] : [`endpoint ${details.endpoint}`]),
    ...(details?.vpcId === undefined ? [] : [`VPC ${details.vpcId}`]),
    ...(details?.generation === undefined ? [] : [`generation ${details.generation}`]),
    ...(addresses.length === 0 ? [] : [`addresses ${addresses.join(', ')}`]),
  ].map(oneLine);
  const learned =
    facts.length === 0
      ? []
      : [
          '    # Learned from AWS, and kept up to date by the server:',
          ...facts.map((fact) => `    #   ${fact}`),
        ];
  const unknown = failures.map((failure) => `    # Not learned yet: ${oneLine(failure)}`);
  return [...learned, ...unknown, ''].join('\n');
}

/** A comment ends with its line. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ');
}

function scalar(text: string): string {
  return stringify(text, { lineWidth: 0 }).trimEnd();
}
