/** A site for one scenario: a simulated Region beside it, a folder of its own, ports of its own, servers started in it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { parse } from 'yaml';
import type { Population } from '../../src/sandbox/facts.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { type Ports, ServerProcess } from './server-process.ts';

export const ENDPOINT = '5E9D0F3C7A1B4286B0D4C8E2F6A19753.gr7.us-west-2.eks.amazonaws.com';
export const DEMO = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];

/** In a greater hurry than the sandbox's own, so that a scenario takes seconds. */
export const HURRY = {
  dns: '1s',
  interfaces: '1s',
  route53: '1s',
  cluster: '2s',
  retryMin: '300ms',
  retryMax: '1s',
  deadline: '2s',
};

export function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'outpost-dns-scenario-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
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

  /** `slot` from 0 to 39: the scenario's own, over all files, since they run side by side. */
  static async open(
    t: Test,
    slot: number,
    {
      overrides = {},
      population,
    }: { overrides?: Readonly<Record<string, unknown>>; population?: Population } = {},
  ): Promise<Site> {
    const sandbox = await startSandbox(population === undefined ? {} : { population });
    t.teardown(() => sandbox.close());
    return new Site(t, sandbox, { dnsPort: 5310 + slot, httpPort: 9210 + slot }, overrides);
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

  start(
    environment: Readonly<Record<string, string>> = this.sandbox.environment,
    ports = this.ports,
  ): ServerProcess {
    return new ServerProcess(this.#t, this.configFile, ports, environment);
  }

  /** A second server's configuration beside the first one's. */
  startBeside(slot: number, overrides: Readonly<Record<string, unknown>> = {}): ServerProcess {
    const ports = { dnsPort: 5310 + slot, httpPort: 9210 + slot };
    const configFile = join(this.directory, `beside-${slot}.yaml`);
    const { stateDirectory } = this;
    const text = this.sandbox.configYaml({
      ...ports,
      stateDirectory,
      overrides: { refresh: HURRY, ...overrides },
    });
    writeFileSync(configFile, text);
    return new ServerProcess(this.#t, configFile, ports, this.sandbox.environment);
  }
}
