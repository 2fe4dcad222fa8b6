/** A network namespace with loopback, some addresses and no way out, so that port 53 and any address can be used. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { atTheEnd, type Command, must } from './commands.ts';

let made = 0;

export class Namespace implements AsyncDisposable {
  readonly name: string;
  readonly #release: () => void;

  private constructor(name: string) {
    this.name = name;
    this.#release = atTheEnd(() => this.#remove());
  }

  /** Besides 127.0.0.0/8 and ::1 it has `addresses`, each of them on loopback. */
  static async make(addresses: readonly string[] = []): Promise<Namespace> {
    const name = `outpost-lab-${process.pid}-${++made}`;
    await must(['ip', 'netns', 'add', name]);
    const namespace = new Namespace(name);
    await must(['ip', '-n', name, 'link', 'set', 'lo', 'up']);
    for (const address of addresses)
      await must(['ip', '-n', name, 'address', 'add', `${address}/32`, 'dev', 'lo']);
    return namespace;
  }

  /** The same command, inside. */
  within(command: Command): Command {
    return ['ip', 'netns', 'exec', this.name, ...command];
  }

  /** Writes the /etc/resolv.conf of programs inside. */
  setResolvConf(text: string): void {
    this.setFile('resolv.conf', text);
  }

  /** Writes the file of /etc with this name, as programs inside see it. A folder in the name replaces that folder of /etc. */
  setFile(name: 'resolv.conf' | 'hosts' | `keepalived/${string}`, text: string): void {
    const path = join(this.#folder(), name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#release();
    this.#remove();
  }

  #folder(): string {
    return join('/etc/netns', this.name);
  }

  #remove(): void {
    spawnSync('ip', ['netns', 'delete', this.name]);
    rmSync(this.#folder(), { recursive: true, force: true });
  }
}
