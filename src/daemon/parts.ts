/** What the daemon is made with, and what its owner can do with it. */
import type { StatusReport } from '../admin/status-report.ts';
import type { Config } from '../config/config.ts';
import type { Poll } from '../far-side/far-side.ts';
import type { LogState } from '../log/line-queue.ts';
import type { Log } from '../log/log.ts';
import type { Ping } from '../refresh/link-probe.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import type { Pause } from '../runtime/slices.ts';
import type { Timers } from '../runtime/timers.ts';
import type { Transports } from '../serving/forwarder/transports.ts';
import type { HostInterfaces } from '../serving/listener/listen-address.ts';

export interface DaemonParts {
  readonly config: Config;
  /** Reads the configuration anew, for a reload; throws ConfigError. */
  readonly loadConfig: () => Promise<Config>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly pause: Pause;
  readonly random: Random;
  readonly log: Log;
  /** Lines of the log that were dropped. */
  readonly logState?: () => LogState;
  readonly setLogLevel: (level: Config['log']['level']) => void;
  /** `os.networkInterfaces`. */
  readonly interfaces: () => HostInterfaces;
  /** What crosses the link, where a test has its own in place of sockets and the SDK. */
  readonly network?: NetworkParts;
  /** `os.hostname()`: a browser may ask for the pages by it. */
  readonly hostName?: string;
  readonly version: string;
  /** Such as `node 26.10.0`. */
  readonly runtime: string;
}

export interface NetworkParts {
  readonly transports: Transports;
  readonly poll: Poll;
  readonly ping: Ping;
}

export interface Vitals {
  /** Listened on, such as `127.0.0.1:53`. */
  readonly addresses: readonly string[];
  /** A name that is answered from the table at this moment. */
  readonly endpoint: string | undefined;
  /** Replies sent so far. */
  readonly replies: { readonly udp: number; readonly tcp: number };
}

export interface Daemon {
  /** Takes the configuration anew where it is sound; otherwise logs its faults and goes on with the one it has. Never rejects. */
  reload(): Promise<void>;
  report(): StatusReport;
  /** What a watchdog needs to ask whether queries are answered. */
  vitals(): Vitals;
  /** The host was suspended: what is kept has aged, and its truth may be another one by now. */
  resumed(suspendedMs: number): void;
  /** Saves, closes the sockets, lets queries in flight end. `reason` is for the ledger, such as `SIGTERM`. */
  stop(reason: string): Promise<void>;
}
