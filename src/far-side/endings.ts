/**
 * Finds out when the credentials of a poll end. These are the client certificate for the API server, the certificate of IAM Roles
 * Anywhere, and the session of any provider. Each poll reports them, so that the operator hears of an end while AWS can
 * still be reached. It warns of nothing: refresh/ knows the limits.
 */
import type { Ending, Observation } from '../records/observation.ts';
import { traitsOf } from '../records/sources.ts';
import type { Clock } from '../runtime/clock.ts';
import type { AwsIdentities, AwsServices } from './aws/clients.ts';
import { type CredentialFacts, credentialFacts, processFacts } from './aws/inspection.ts';
import type { SharedFiles } from './aws/shared-files.ts';
import { certificateEnd } from './kubernetes/identity.ts';
import type { LocalFiles } from './local-files.ts';
import type { PollRequest } from './poll.ts';

export interface EndingDeps {
  readonly aws: AwsServices & AwsIdentities;
  readonly shared: SharedFiles;
  readonly files: LocalFiles;
  readonly clock: Clock;
}

/** A thousand clusters share a profile: its files are read once a minute. */
const KEPT_MS = 60_000;

export class Endings {
  readonly #deps: EndingDeps;
  readonly #known = new Map<string, { readonly atMs: number; readonly found: Promise<readonly Ending[]> }>();

  constructor(deps: EndingDeps) {
    this.#deps = deps;
  }

  /** The observation with the ends of the credentials that it needed. Never rejects. */
  async added(request: PollRequest, observation: Observation, signal: AbortSignal): Promise<Observation> {
    const endings = await this.#of(request, observation, signal).catch(() => []);
    return endings.length === 0 ? observation : { ...observation, endings };
  }

  #of(
    { source, settings: { profile, kubernetes }, context: { region } }: PollRequest,
    observation: Observation,
    signal: AbortSignal,
  ): Promise<readonly Ending[]> {
    if (source === 'kubernetes') {
      if (kubernetes === undefined) return Promise.resolve([]);
      return this.#shared(JSON.stringify(kubernetes), async () => {
        const endsAtMs = await certificateEnd(kubernetes, this.#deps.files);
        return endsAtMs === undefined ? [] : [{ what: 'kubernetes-certificate', endsAtMs, isRenewed: false }];
      });
    }
    if (region === undefined || !traitsOf(source).needsCredentials) return Promise.resolve([]);
    // after a failure the providers are not asked a second time: a command may take seconds
    const isWorking = observation.kind !== 'failed';
    return this.#shared(JSON.stringify([region, profile, isWorking]), async () => {
      const place = { region, profile };
      const deps = { ...this.#deps, wallMs: () => this.#deps.clock.wallMs() };
      const facts: CredentialFacts = isWorking
        ? await credentialFacts(place, deps, signal)
        : await processFacts(place, deps);
      return endingsIn(facts);
    });
  }

  #shared(key: string, find: () => Promise<readonly Ending[]>): Promise<readonly Ending[]> {
    const nowMs = this.#deps.clock.monotonicMs();
    const known = this.#known.get(key);
    if (known !== undefined && nowMs - known.atMs < KEPT_MS) return known.found;
    const found = find();
    this.#known.set(key, { atMs: nowMs, found });
    return found;
  }
}

/** Exported for its table of tests. */
export function endingsIn(facts: CredentialFacts): readonly Ending[] {
  if (facts.kind === 'none') return [];
  const { kind, endsAtMs, file, certificate } = facts;
  const endings: Ending[] = [];
  if (certificate?.endsAtMs !== undefined) {
    endings.push({ what: 'roles-anywhere-certificate', endsAtMs: certificate.endsAtMs, isRenewed: false });
  }
  if (endsAtMs !== undefined) {
    // keys in the environment are renewed by nobody; an agent renews those in a file, a provider asks for others
    const isRenewed = kind !== 'static' && !(kind === 'session' && file === undefined);
    endings.push({ what: 'session', endsAtMs, isRenewed });
  }
  return endings;
}
