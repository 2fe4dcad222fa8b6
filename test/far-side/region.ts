import { Resolver } from 'node:dns/promises';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { AccessKey } from '../../sandbox/facts.ts';
import { type Sandbox, startSandbox } from '../../sandbox/sandbox.ts';
import {
  type AwsClientsOptions,
  type AwsServices,
  createAwsServices,
} from '../../src/far-side/aws/clients.ts';
import type { Poll } from '../../src/far-side/far-side.ts';
import { createPolls } from '../../src/far-side/far-side-thread.ts';
import { type HeadOutcome, type HeadRequest, headOf } from '../../src/far-side/head.ts';
import { LocalFiles, SharedFiles } from '../../src/far-side/local-files.ts';
import type { Outbound } from '../../src/far-side/outbound.ts';
import type { Resolve, SourceContext } from '../../src/records/observation.ts';
import { createSources, type SourceSettings } from '../../src/refresh/cluster-sources.ts';
import { systemClock, systemTimers } from '../../src/runtime/clock.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { undisturbed } from '../helpers/patience.ts';
import { credentialsFile } from '../sandbox/access-keys.ts';

const OF_THE_SDK = /^AWS_/;

/** Starts a simulated Region and points this process's SDK at it, and at nothing else. */
export async function startRegion(t: Test): Promise<Sandbox> {
  const sandbox = await startSandbox();
  const before = Object.entries(process.env).filter(([name]) => OF_THE_SDK.test(name));
  clearSdkEnvironment();
  Object.assign(process.env, sandbox.environment, { AWS_EC2_METADATA_DISABLED: 'true' });
  t.teardown(async () => {
    await sandbox.close();
    clearSdkEnvironment();
    Object.assign(process.env, Object.fromEntries(before), { AWS_EC2_METADATA_DISABLED: 'true' });
  });
  return sandbox;
}

function clearSdkEnvironment(): void {
  for (const name of Object.keys(process.env)) if (OF_THE_SDK.test(name)) delete process.env[name];
}

export const HASTY = {
  connectTimeoutMs: 500,
  requestTimeoutMs: 500,
  idleTimeoutMs: 500,
  credentialProcessTimeoutMs: 1_500,
};

export function clientsFor(
  t: Test,
  options: Partial<AwsClientsOptions> = {},
): ReturnType<typeof createAwsServices> {
  const clients = createAwsServices({
    clock: systemClock,
    timers: systemTimers,
    log: new CollectingLog(),
    ...HASTY,
    ...options,
  });
  t.teardown(() => clients.dispose());
  return clients;
}

const FILES = new LocalFiles(systemTimers);

/** A sign of life without a thread in between. */
export function headHere(
  request: HeadRequest,
  outbound: Outbound,
  signal: AbortSignal,
): Promise<HeadOutcome> {
  return headOf(request, { outbound, shared: new SharedFiles(outbound, FILES) }, signal);
}

/** Polls without a thread in between. */
export function pollHere(aws: AwsServices): Poll {
  const polls = createPolls({ aws, files: FILES, clock: systemClock, zones: new Map() });
  return (source, settings, context, signal, onUrl = () => undefined) =>
    polls({ source, settings, context }, signal, onUrl);
}

const ALL = ['dns', 'interfaces', 'cluster', 'route53'] as const;

/** Polls the sources of one cluster by name, at the sandbox. */
export function sourcesAt(
  sandbox: Sandbox,
  clients: AwsServices,
  settings: Omit<SourceSettings, 'sources'> = {},
) {
  const resolve = resolveAt(sandbox.dnsAddress);
  const connections = {
    poll: pollHere(clients),
    asked: () => undefined,
    resolve,
    answersText: async () => false,
    isDrilled: () => false,
  };
  const sources = createSources({ ...settings, sources: ALL }, connections);
  return (
    name: (typeof ALL)[number],
    known: Partial<SourceContext> = {},
    signal: AbortSignal = new AbortController().signal,
  ) => {
    const source = sources.find((each) => each.name === name);
    if (source === undefined) throw new Error(`no source "${name}"`);
    const context = { cluster: 'demo', region: 'us-west-2', subnetIds: [], knownAddresses: [], ...known };
    // the hasty timeouts are over where this process, which is the Region too, stood still for as long
    const poll = () => source.observe(context, signal);
    return undisturbed(
      200,
      poll,
      (seen) => seen.kind === 'failed' && seen.reason === 'timeout' && !signal.aborted,
    );
  };
}

function resolveAt(dnsAddress: string): Resolve {
  const resolver = new Resolver({ timeout: 300, tries: 1 });
  resolver.setServers([dnsAddress]);
  return async (name) => {
    try {
      const answers = await resolver.resolve4(name, { ttl: true });
      const ttlSeconds = Math.min(...answers.map(({ ttl }) => ttl));
      return { kind: 'addresses', addresses: answers.map(({ address }) => address), ttlSeconds };
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      if (code === 'ENODATA') return { kind: 'no-addresses', rcode: 0 };
      if (code === 'ENOTFOUND') return { kind: 'no-addresses', rcode: 3 };
      return { kind: 'failed', reason: code === 'ETIMEOUT' ? 'timeout' : 'servfail', detail: code };
    }
  };
}

/** Writes the SDK's configuration files to a directory of the test, in place of keys in the environment. */
export function credentialFiles(t: Test) {
  const directory = mkdtempSync(join(tmpdir(), 'outpost-dns-credentials-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const credentials = join(directory, 'credentials');
  const config = join(directory, 'config');
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_PROFILE']) {
    delete process.env[name];
  }
  Object.assign(process.env, { AWS_SHARED_CREDENTIALS_FILE: credentials, AWS_CONFIG_FILE: config });
  writeFileSync(credentials, '');
  writeFileSync(config, '');
  return {
    directory,
    writeKey(key: AccessKey): void {
      writeFileSync(credentials, credentialsFile(key));
    },
    writeConfig: (text: string) => writeFileSync(config, text),
    /** Has the default profile run this shell script for its credentials. */
    writeProcess(script: string): void {
      const path = join(directory, 'process.sh');
      writeFileSync(path, script);
      writeFileSync(config, `[default]\ncredential_process = /bin/sh ${path}\n`);
    },
  };
}

/** What a promise has come to after a while: a naive client's hang has to be seen without waiting for its end. */
export async function stateAfter(
  ms: number,
  promise: Promise<unknown>,
): Promise<'pending' | 'fulfilled' | 'rejected'> {
  const settled = promise.then(
    () => 'fulfilled' as const,
    () => 'rejected' as const,
  );
  return Promise.race([settled, after(ms).then(() => 'pending' as const)]);
}

export function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
