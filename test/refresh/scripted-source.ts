import type { ClusterDetails } from '../../src/records/endpoint-record.ts';
import type { FailureReason, Observation, Source, SourceContext } from '../../src/records/observation.ts';
import type { InterfaceSource, NameSource, SourceName } from '../../src/records/sources.ts';
import type { ClusterSettings, RefreshTimes } from '../../src/refresh/cluster-sources.ts';
import type { Random } from '../../src/runtime/random.ts';

/** What a scripted source does when it is asked: give this, or whatever the function settles with. */
export type Script = Observation | ((signal: AbortSignal, context: SourceContext) => Promise<Observation>);

/** A source that follows the script of a test, and remembers its polls. */
export class ScriptedSource implements Source {
  readonly name: SourceName;
  script: Script;
  readonly polls: { readonly context: SourceContext; readonly signal: AbortSignal }[] = [];
  /** How many polls are under way, and how many ever were at once. */
  running = 0;
  mostRunning = 0;

  constructor(name: SourceName, script: Script) {
    this.name = name;
    this.script = script;
  }

  async observe(context: SourceContext, signal: AbortSignal): Promise<Observation> {
    this.polls.push({ context, signal });
    this.mostRunning = Math.max(this.mostRunning, ++this.running);
    try {
      return await (typeof this.script === 'function' ? this.script(signal, context) : this.script);
    } finally {
      this.running--;
    }
  }
}

export function sees(source: NameSource | InterfaceSource, ...addresses: readonly string[]): Observation {
  return { kind: 'addresses', source, addresses };
}

export function describes(details: Partial<ClusterDetails>): Observation {
  return {
    kind: 'details',
    source: 'cluster',
    details: { endpoint: 'api.example', subnetIds: [], learnedAtMs: 1, ...details },
  };
}

export function fails(
  source: SourceName,
  reason: FailureReason = 'network',
  reachedFarSide = false,
): Observation {
  return { kind: 'failed', source, reason, reachedFarSide, detail: 'scripted' };
}

/** Never settles, whatever becomes of the signal: a hanging credential provider. */
export function hangs(): Promise<Observation> {
  return new Promise(() => {});
}

/** Hangs until it is aborted: a request into a black hole. */
export function hangsUntilAborted(source: SourceName): Script {
  return (signal) =>
    new Promise((resolve) =>
      signal.addEventListener('abort', () => resolve(fails(source, 'timeout')), { once: true }),
    );
}

/** No jitter at all. */
export const evenRandom: Random = { uint16: () => 0x8000, uint32: () => 0x8000_0000, fraction: () => 0.5 };

export const times: RefreshTimes = {
  intervalMs: { dns: 45_000, route53: 300_000, interfaces: 300_000, kubernetes: 60_000, cluster: 3_600_000 },
  jitterPercent: 20,
  retryMinMs: 5_000,
  retryMaxMs: 60_000,
  deadlineMs: 20_000,
};

export function clusterSettings(more: Partial<ClusterSettings> = {}): ClusterSettings {
  return {
    name: 'my-cluster',
    region: 'us-west-2',
    endpoint: 'api.example',
    allowedAddresses: ['10.0.0.0/8'],
    pin: [],
    sources: [],
    ...more,
  };
}

/** A cluster whose endpoint name has to be learned. */
export function unnamedCluster(): ClusterSettings {
  const { endpoint: _, ...unnamed } = clusterSettings();
  return unnamed;
}
