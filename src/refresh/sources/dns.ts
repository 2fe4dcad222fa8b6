import {
  cannotAsk,
  failed,
  SourceError,
  type SourceFailure,
  untilAborted,
} from '../../far-side/source-error.ts';
import { isNameOfAws } from '../../protocol/words/aws-partitions.ts';
import { RCODE, rcodeName } from '../../protocol/words/rcodes.ts';
import type { ResolvedName, Source, UpstreamView } from '../../records/observation.ts';

/**
 * What the endpoint's name resolves to, asked of the upstreams past our own cache. No credentials are needed.
 * An answer proves the upstream, which may have it from its own cache; it proves nothing of AWS.
 */
export function createDnsSource(upstream: UpstreamView): Source {
  return {
    name: 'dns',
    async observe({ endpoint, isEndpointOfEks, describedEndpoint }, signal) {
      try {
        if (endpoint === undefined)
          throw cannotAsk('resolving the endpoint failed: its name is not known yet');
        const resolved =
          (await resolveDescribed(upstream, describedEndpoint, signal)) ??
          (await resolveAddresses(upstream, endpoint, signal, isEndpointOfEks));
        return { kind: 'addresses', source: 'dns', ...resolved };
      } catch (error) {
        return failed('dns', explain(error));
      }
    },
  };
}

/** Errors of this room are SourceErrors; any other is a defect of our own. */
export function explain(error: unknown): SourceFailure {
  const {
    code: reason,
    reachedFarSide,
    message: detail,
  } = error instanceof SourceError ? error : cannotAsk(`poll failed: ${String(error)}`);
  return { reason, reachedFarSide, detail };
}

/** Answers after which the operator's name is asked: the upstream is there, and has no address for AWS's own. */
const WITHOUT_ADDRESSES: ReadonlySet<string> = new Set(['not-found', 'empty', 'filtered']);

/** What AWS says is the name comes first: the operator's may be outdated, or another cluster's. */
async function resolveDescribed(
  upstream: UpstreamView,
  name: string | undefined,
  signal: AbortSignal,
): Promise<Resolved | undefined> {
  if (name === undefined) return undefined;
  try {
    return await resolveAddresses(upstream, name, signal, true);
  } catch (error) {
    if (error instanceof SourceError && WITHOUT_ADDRESSES.has(error.code)) return undefined;
    throw error;
  }
}

export interface Resolved {
  readonly addresses: readonly string[];
  readonly ttlSeconds: number;
  readonly upstream?: string;
}

/** Text there is written by an outpost-dns and by nobody else: EKS has no such name. */
const STATUS_LABEL = '_status';

/**
 * The addresses that upstreams give for `name`. Throws SourceError when there are none, or when they are our own: a
 * resolver of the site that sends the name to an outpost-dns would confirm for ever whatever is served. `isManaged`:
 * AWS keeps the name, whatever it ends in.
 */
export async function resolveAddresses(
  upstream: UpstreamView,
  name: string,
  signal: AbortSignal,
  isManaged = false,
): Promise<Resolved> {
  const late = () => new SourceError(failure('timeout', name, 'no upstream answered within the deadline'));
  const looks = Promise.all([
    upstream.resolve(name, signal),
    upstream.answersText(`${STATUS_LABEL}.${name}`, signal),
  ]);
  const [resolved, isOurOwn] = await untilAborted(looks, signal, late);
  if (isOurOwn) throw new SourceError(failure('looping', name, LOOPING));
  if (resolved.kind === 'addresses' && resolved.addresses.length > 0) {
    const { ttlSeconds, upstream } = resolved;
    const addresses = [...new Set(resolved.addresses)];
    return { addresses, ttlSeconds, ...(upstream === undefined ? {} : { upstream }) };
  }
  throw new SourceError(explainNoAddresses(name, resolved, isManaged));
}

function explainNoAddresses(name: string, resolved: ResolvedName, isManaged: boolean): SourceFailure {
  if (resolved.kind === 'failed') {
    const { detail } = resolved;
    if (resolved.reason !== 'servfail') return failure(resolved.reason, name, detail);
    return failure('network', name, detail || 'upstream answered SERVFAIL');
  }
  const rcode = resolved.kind === 'addresses' ? RCODE.NOERROR : resolved.rcode;
  if (rcode === RCODE.NOERROR) {
    // AWS gives these names addresses, so that an answer without any has lost them on the way
    return failure(isManaged || isNameOfAws(name) ? 'filtered' : 'empty', name, REBINDING);
  }
  if (rcode === RCODE.NXDOMAIN) return failure('not-found', name, 'upstream answered NXDOMAIN');
  const reason = rcode === RCODE.REFUSED ? 'denied' : rcode === RCODE.SERVFAIL ? 'network' : 'malformed';
  return failure(reason, name, `upstream answered ${rcodeName(rcode)}`);
}

// The endpoint is a public name with private addresses, which is just what protection against DNS rebinding drops.
const REBINDING =
  'upstream answered without an address: it may be dropping private addresses (dns rebinding protection), ' +
  'so allow this name there, or send it to another upstream';

const LOOPING =
  'the upstream forwards this name back to an outpost-dns, so its answer confirms nothing: ' +
  'list an upstream that resolves the name itself, such as the resolver of the VPC or the one that the site forwards to';

function failure(reason: SourceFailure['reason'], name: string, detail: string): SourceFailure {
  return { reason, reachedFarSide: false, detail: `resolving "${name}" failed: ${detail}` };
}
