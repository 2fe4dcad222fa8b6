/**
 * The configuration files that the AWS CLI and the SDK share. They are read here before the SDK reads them. The SDK waits
 * for a file without a deadline, and opens it again at each attempt.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates } from 'node:tls';
import { type LocalFiles, whyUnread } from '../local-files.ts';
import type { Outbound } from '../outbound.ts';
import { SourceError } from '../source-error.ts';

export class SharedFiles {
  readonly #outbound: Outbound;
  readonly #files: LocalFiles;
  readonly #configFile: string;
  readonly #credentialsFile: string;

  constructor(outbound: Outbound, files: LocalFiles) {
    this.#outbound = outbound;
    this.#files = files;
    this.#configFile = pathOf(outbound.configFile, 'config');
    this.#credentialsFile = pathOf(outbound.credentialsFile, 'credentials');
  }

  /**
   * Throws SourceError where the SDK would wait for a file. An absent file, or one that may not be read, is left to the SDK.
   * Returns a text that is another one after each change of the files.
   */
  async check(): Promise<string> {
    const state = createHash('sha256');
    for (const path of [this.#configFile, this.#credentialsFile]) {
      try {
        state.update(`${await this.#files.text(path)}\0`);
      } catch (error) {
        if (error instanceof Error && 'code' in error) {
          state.update(`${error.code}\0`);
          continue;
        }
        const detail = `reading the aws configuration in "${path}" failed: ${whyUnread(error)}`;
        throw new SourceError({ reason: 'no-credentials', reachedFarSide: false, detail });
      }
    }
    return state.digest('base64');
  }

  /**
   * The authorities of `AWS_CA_BUNDLE`, else of `ca_bundle` in the profile in use. They count in place of the public ones, as
   * for the AWS CLI; those of `NODE_EXTRA_CA_CERTS` are added. undefined: those that Node trusts. Throws SourceError.
   */
  async authorities(profile: string | undefined): Promise<readonly string[] | undefined> {
    const { caBundle } = this.#outbound;
    if (caBundle !== undefined) return this.#read(caBundle, 'AWS_CA_BUNDLE');
    const name = profile ?? this.#outbound.profile ?? 'default';
    const path = await this.#settingOf(name, 'ca_bundle');
    return path === undefined ? undefined : this.#read(path, `ca_bundle of profile "${name}":`);
  }

  get credentialsFile(): string {
    return this.#credentialsFile;
  }

  /** A setting of the profile, or of the profile in use. */
  async setting(profile: string | undefined, key: string): Promise<string | undefined> {
    return this.#settingOf(profile ?? this.#outbound.profile ?? 'default', key);
  }

  async #settingOf(profile: string, key: string): Promise<string | undefined> {
    await this.check();
    const { parseKnownFiles } = await import('@smithy/core/config');
    const profiles = await parseKnownFiles({
      profile,
      configFilepath: this.#configFile,
      filepath: this.#credentialsFile,
      ignoreCache: true,
    });
    return profiles[profile]?.[key] || undefined;
  }

  async #read(path: string, where: string): Promise<readonly string[]> {
    const unusable = (why: string): SourceError => {
      const detail = `reading the authorities in ${where} "${path}" failed: ${why}`;
      return new SourceError({ reason: 'untrusted-certificate', reachedFarSide: false, detail });
    };
    const text = await this.#files.text(path).catch((error: unknown) => {
      throw unusable(whyUnread(error));
    });
    try {
      new X509Certificate(text);
    } catch {
      throw unusable('it holds no certificate in PEM');
    }
    return [text, ...getCACertificates('extra')];
  }
}

/** As the SDK finds it. */
function pathOf(named: string | undefined, name: string): string {
  if (named === undefined) return join(homedir(), '.aws', name);
  return named.startsWith('~/') ? join(homedir(), named.slice(2)) : named;
}
