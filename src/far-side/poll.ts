/** What a poll of a source over HTTPS is given, and what the configuration says about it. */
import type { Observation, SourceContext } from '../records/observation.ts';
import type { SourceName } from '../records/sources.ts';
import type { Clock } from '../runtime/clock.ts';
import type { AwsServices } from './aws/clients.ts';
import type { KubernetesAccess } from './kubernetes/identity.ts';
import type { LocalFiles } from './local-files.ts';

/** Sources that speak HTTPS. The upstreams are asked for `dns` by the forwarder. */
export type FarSource = Exclude<SourceName, 'dns'>;

/** What the configuration of a cluster says about its sources: plain data, because it crosses into the thread. */
export interface PollSettings {
  /** Profile of the AWS configuration files; left out: the one of the environment. */
  readonly profile?: string | undefined;
  /** Without a zone ID the zone is found by name. */
  readonly route53?: { readonly zoneId?: string | undefined } | undefined;
  /** How this server is known to the API server; without it that poll fails. */
  readonly kubernetes?: KubernetesAccess | undefined;
}

export interface PollRequest {
  readonly source: FarSource;
  readonly settings: PollSettings;
  readonly context: SourceContext;
}

export interface PollDeps {
  readonly aws: AwsServices;
  readonly files: LocalFiles;
  readonly clock: Clock;
  /** Hosted zones that were found by name, by what they were found for. */
  readonly zones: Map<string, string>;
  /** In place of the port that a kubeconfig names, else 443. */
  readonly apiServerPort?: number;
}

export interface Asked {
  readonly settings: PollSettings;
  readonly context: SourceContext;
  readonly signal: AbortSignal;
}

export type PollFunction = (asked: Asked, deps: PollDeps) => Promise<Observation>;
