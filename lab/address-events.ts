/** When addresses came to a host, by the kernel's own events. */
import { Background } from './commands.ts';
import type { Namespace } from './namespace.ts';

export class AddressEvents implements AsyncDisposable {
  readonly #monitor: Background;

  constructor(host: Namespace) {
    this.#monitor = new Background(host.within(['env', 'TZ=UTC', 'ip', '-ts', 'monitor', 'address']));
  }

  /** In ms since 1970, in order. An IPv6 address has an event when it comes, and another when duplicate address detection ends. */
  of(address: string): number[] {
    const events = this.#monitor.output.matchAll(/^\[([\d:.T-]+)\] *(Deleted )?.*? inet6? ([\da-f:.]+)\//gm);
    return [...events].flatMap(([, time = '', deleted, what]) =>
      deleted === undefined && what === address ? [Date.parse(`${time}Z`)] : [],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#monitor[Symbol.asyncDispose]();
  }
}
