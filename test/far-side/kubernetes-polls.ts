import type { KubernetesAccess } from '../../src/far-side/kubernetes/identity.ts';
import type { Observation, SourceContext } from '../../src/records/observation.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { API_NAME, ApiServers, fileOf, slice } from './api-server.ts';
import { poll } from './polling.ts';

export const [A, B, C, D] = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'];
export const byCertificate = {
  kind: 'certificate',
  certificate: fileOf('client.crt'),
  key: fileOf('client.key'),
  ca: fileOf('ca.crt'),
} as const satisfies KubernetesAccess;

interface PollOptions {
  readonly access?: KubernetesAccess | undefined;
  readonly known?: Partial<SourceContext>;
  readonly signal?: AbortSignal;
  readonly port?: number;
}

export function pollServers(servers: ApiServers, options: PollOptions = {}): Promise<Observation> {
  const kubernetes = 'access' in options ? options.access : byCertificate;
  return poll(
    'kubernetes',
    { endpoint: API_NAME, knownAddresses: [A], ...options.known },
    { settings: { kubernetes }, clock: systemClock, apiServerPort: options.port ?? servers.port },
    options.signal,
  );
}

export const sees = (...addresses: readonly string[]) => ({
  kind: 'addresses',
  source: 'kubernetes',
  addresses,
});
export const fails = (reason: string, detail: RegExp) => ({
  kind: 'failed',
  source: 'kubernetes',
  reason,
  reachedFarSide: false,
  detail,
});

export async function three(): Promise<ApiServers> {
  const servers = await ApiServers.start([A, B, C]);
  servers.slices = [slice([C, A, B])];
  return servers;
}
