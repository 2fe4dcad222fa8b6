import type { Timers } from '../../runtime/timers.ts';
import type { Outbound } from '../outbound.ts';
import { createOutboundHandler, type OutboundHandler } from '../outbound-agents.ts';
import type { AwsPlace } from './client-pool.ts';
import { boundedCommand, overrideCredentialProcess } from './credential-process.ts';
import type { CredentialsShelf } from './credentials.ts';
import type { SharedFiles } from './shared-files.ts';

export type HandlerSettings = Pick<
  SdkSettings,
  'connectTimeoutMs' | 'requestTimeoutMs' | 'idleTimeoutMs' | 'outbound' | 'shared'
>;

/** What every client of the SDK is made with: deadlines, few attempts, and credentials that are watched. */
export interface SdkSettings {
  readonly timers: Timers;
  readonly shelf: CredentialsShelf;
  readonly outbound: Outbound;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly credentialProcessTimeoutMs: number;
  readonly shared: SharedFiles;
}

/** The second corrects a clock that is 4 minutes off and more; a third would only stretch a look in an outage. */
const ATTEMPTS = 2;

export async function createSdkConfig(settings: SdkSettings, place: AwsPlace) {
  const { timers, shelf, credentialProcessTimeoutMs: timeoutMs } = settings;
  await settings.shared.check();
  await overrideCredentialProcess(boundedCommand({ timers, timeoutMs }));
  const credentials = await shelf.get(place);
  const config = {
    region: place.region,
    ...(place.profile === undefined ? {} : { profile: place.profile }),
    credentials: credentials.provide,
    maxAttempts: ATTEMPTS,
    requestHandler: await requestHandler(settings, place.profile),
  };
  return { config, credentials };
}

/** The way out, with the deadlines that the SDK leaves out by default. */
export async function requestHandler(
  settings: HandlerSettings,
  profile: string | undefined,
): Promise<OutboundHandler> {
  return createOutboundHandler(
    {
      connectionTimeout: settings.connectTimeoutMs,
      requestTimeout: settings.requestTimeoutMs,
      throwOnRequestTimeout: true, // otherwise it writes a warning and goes on waiting
      socketTimeout: settings.idleTimeoutMs,
    },
    settings.outbound,
    await settings.shared.authorities(profile),
  );
}
