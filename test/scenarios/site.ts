/** A site for one scenario: a simulated Region, a folder and ports of its own, and the servers started in it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { parse } from 'yaml';
import type { Population } from '../../sandbox/facts.ts';
import { type Sandbox, startSandbox } from '../../sandbox/sandbox.ts';
import { freePorts, type Ports } from './free-ports.ts';
import { PROGRAM, ServerProcess } from './server-process.ts';

export const ENDPOINT = '5E9D0F3C7A1B4286B0D4C8E2F6A19753.gr7.us-west-2.eks.amazonaws.com';
export const DEMO = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];

/**
 * More polls than in the sandbox's own configuration, so that a scenario takes seconds. The time-out of a poll is the
 * default. The simulated Region lives in the process of the test, and a process that stands still must not seem a cut.
 */
export const HURRY = {
  dns: '1s',
  interfaces: '1s',
  route53: '1s',
  cluster: '2s',
  retryMin: '300ms',
  retryMax: '1s',
};

export function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'outpost-dns-scenario-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface SiteOptions {
  /** Top-level keys of the configuration. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  readonly population?: Population;
}

export class Site {
  readonly #t: Test;
  readonly sandbox: Sandbox;
  readonly directory: string;
  readonly stateDirectory: string;
  readonly configFile: string;
  readonly ports: Ports;

  private constructor(t: Test, sandbox: Sandbox, ports: Ports, overrides: Readonly<Record<string, unknown>>) {
    this.#t = t;
    this.sandbox = sandbox;
    this.ports = ports;
    this.directory = folder(t);
    this.stateDirectory = join(this.directory, 'state');
    this.configFile = join(this.directory, 'outpost-dns.yaml');
    this.configure(overrides);
  }

  static async open(t: Test, { overrides = {}, population }: SiteOptions = {}): Promise<Site> {
    const sandbox = await startSandbox({ population });
    t.teardown(() => sandbox.close());
    return new Site(t, sandbox, await freePorts(), overrides);
  }

  /** Writes the configuration file: the sandbox's own, with these top-level keys in place of its. */
  configure(overrides: Readonly<Record<string, unknown>>): void {
    const { stateDirectory, ports } = this;
    const text = this.sandbox.configYaml({
      ...ports,
      stateDirectory,
      overrides: { refresh: HURRY, ...overrides },
    });
    writeFileSync(this.configFile, text);
  }

  /** As `configure`, with keys added to the only cluster. */
  configureCluster(
    keys: Readonly<Record<string, unknown>>,
    overrides: Readonly<Record<string, unknown>> = {},
  ): void {
    this.configure(overrides);
    const config = parse(this.sandbox.configYaml({ ...this.ports, stateDirectory: this.stateDirectory }));
    this.configure({ ...overrides, clusters: [{ ...config.clusters[0], ...keys }] });
  }

  breakConfiguration(text: string): void {
    writeFileSync(this.configFile, text);
  }

  start(environment: Readonly<Record<string, string>> = this.sandbox.environment): ServerProcess {
    return new ServerProcess(this.#t, this.configFile, this.ports, environment);
  }

  /** A server that gets these descriptors of this process, as from systemd. */
  startWithSockets(
    descriptors: readonly number[],
    environment: Readonly<Record<string, string>> = {},
  ): ServerProcess {
    const names = descriptors.map(() => 'dns').join(':');
    const handed = { LISTEN_FDS: String(descriptors.length), LISTEN_FDNAMES: names };
    return new ServerProcess(
      this.#t,
      this.configFile,
      this.ports,
      { ...this.sandbox.environment, ...handed, ...environment },
      ['/bin/sh', '-c', 'LISTEN_PID=$$ exec "$0" "$@"', PROGRAM],
      descriptors,
    );
  }

  /** A second server with a configuration and ports of its own, on the same state directory. */
  async startBeside(): Promise<ServerProcess> {
    const ports = await freePorts();
    const configFile = join(this.directory, 'beside.yaml');
    const { stateDirectory } = this;
    const overrides = { refresh: HURRY };
    writeFileSync(configFile, this.sandbox.configYaml({ ...ports, stateDirectory, overrides }));
    return new ServerProcess(this.#t, configFile, ports, this.sandbox.environment);
  }
}
