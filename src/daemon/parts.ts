/** Lists the parts from which the daemon is built. */
import type { Config } from '../config/config.ts';
import type { Poll } from '../far-side/far-side.ts';
import type { Log } from '../log/log.ts';
import type { LogState } from '../log/pino-log.ts';
import type { Ping } from '../refresh/link-probe.ts';
import type { AskOutpost } from '../refresh/outpost-watch.ts';
import type { Clock, Timers } from '../runtime/clock.ts';
import type { Libc } from '../runtime/datagrams.ts';
import type { OwnMemory } from '../runtime/memory.ts';
import type { Random } from '../runtime/random.ts';
import type { HandedSockets, OpenedOutliving } from '../runtime/service-manager.ts';
import type { Pause } from '../runtime/slices.ts';
import type { Transports } from '../serving/forwarder/exchange.ts';
import type { HostInterfaces } from '../serving/listener/listen-address.ts';
import type { FileSystem } from '../store/file-system.ts';

export interface DaemonParts {
  readonly config: Config;
  /** Reads the configuration again, for a reload; throws ConfigError. */
  readonly loadConfig: () => Promise<Config>;
  /** A file that makes the next start faster; it is written into the state directory, and may be lost. */
  readonly keptConfig?: {
    readonly name: string;
    readonly compose: (pause: Pause) => Promise<Uint8Array | undefined>;
  };
  /** Keeps the configuration in force for a start whose file is refused; `compose` gives nothing where it came from no file. */
  readonly acceptedConfig?: {
    readonly name: string;
    readonly compose: (inForce: Config) => Uint8Array | undefined;
  };
  /** Why the file is refused, where `config` is not what the file says but what was taken before. */
  readonly refusedConfig?: Error | undefined;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly pause: Pause;
  readonly random: Random;
  readonly log: Log;
  /** Lines of the log that were dropped. */
  readonly logState?: () => LogState;
  /** Loads what writes the log: called after the first answer. */
  readonly loadLog?: () => Promise<void>;
  readonly setLogLevel: (level: Config['log']['level']) => void;
  /** Left out: the system's own. */
  readonly files?: FileSystem;
  /** `os.networkInterfaces`. */
  readonly interfaces: () => HostInterfaces;
  /** Takes the sockets that the service manager handed over; called once in a start. */
  readonly handed?: (libc: Libc | undefined) => HandedSockets;
  /** Opens a file that outlives this process, of which at most `mostOctets` are read. */
  readonly outliving?: (name: string, mostOctets: number) => OpenedOutliving;
  /** Is called when the sockets answer, before anything else is done. */
  readonly onAnswering?: () => void;
  /** Opens what gives memory back to the system; left out: this process keeps its memory. */
  readonly memory?: () => Promise<OwnMemory | undefined>;
  /** The parts that cross the link; a test passes its own parts in place of sockets and the SDK. */
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
  readonly outpost?: AskOutpost;
}
