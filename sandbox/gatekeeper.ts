import type { RawRequest, Refusal } from './api.ts';
import type { AccessKey } from './facts.ts';
import type { Service } from './faults.ts';
import { refuse } from './refusals.ts';
import type { RegionState } from './region-state.ts';
import type { Claim } from './signature.ts';
import { isSignedWith, longDateOf, readClaim } from './signature.ts';

const TOLERANCE_MS = 5 * 60_000; // AWS accepts a signature for five minutes on either side of its own clock
const ROUTE53_REGION = 'us-east-1'; // where the Route 53 API lives

export interface Admitted {
  readonly kind: 'admitted';
  readonly key: AccessKey;
  readonly region: string;
}

/** Lets in what a known, living key has signed for this service, here and now. */
export function admit(request: RawRequest, service: Service, state: RegionState): Admitted | Refusal {
  const claim = readClaim(request);
  if (claim === undefined) return refuse(service, 'unsigned', 'Request is missing Authentication Token');
  return (
    wrongScope(claim, service) ??
    wrongTime(claim, service, state.nowMs()) ??
    checkKey(claim, request, service, state)
  );
}

function wrongScope(claim: Claim, service: Service): Refusal | undefined {
  if (claim.service !== service) {
    return refuse(
      service,
      'wrong-scope',
      `Credential should be scoped to correct service: '${service}', not '${claim.service}'.`,
    );
  }
  if (service === 'route53' && claim.region !== ROUTE53_REGION) {
    return refuse(
      service,
      'wrong-scope',
      `Credential should be scoped to a valid region, not '${claim.region}'.`,
    );
  }
  return undefined;
}

function wrongTime(claim: Claim, service: Service, nowMs: number): Refusal | undefined {
  if (claim.signedAtMs < nowMs - TOLERANCE_MS) {
    const limit = `${longDateOf(nowMs - TOLERANCE_MS)} (${longDateOf(nowMs)} - 5 min.)`;
    return refuse(
      service,
      'signed-too-long-ago',
      service === 'ec2'
        ? 'Request has expired.'
        : `Signature expired: ${claim.longDate} is now earlier than ${limit}`,
    );
  }
  if (claim.signedAtMs > nowMs + TOLERANCE_MS) {
    const limit = `${longDateOf(nowMs + TOLERANCE_MS)} (${longDateOf(nowMs)} + 5 min.)`;
    return refuse(
      service,
      'signed-in-the-future',
      service === 'ec2'
        ? 'AWS was not able to validate the provided access credentials'
        : `Signature not yet current: ${claim.longDate} is still later than ${limit}`,
    );
  }
  return undefined;
}

function checkKey(
  claim: Claim,
  request: RawRequest,
  service: Service,
  state: RegionState,
): Admitted | Refusal {
  const key = state.accessKeys.find((each) => each.accessKeyId === claim.accessKeyId);
  if (key === undefined || key.sessionToken !== claim.sessionToken) {
    return refuse(
      service,
      'unknown-key',
      service === 'ec2'
        ? 'AWS was not able to validate the provided access credentials'
        : 'The security token included in the request is invalid.',
    );
  }
  if (!isSignedWith(key.secretAccessKey, claim, request)) {
    return refuse(
      service,
      'wrong-signature',
      'The request signature we calculated does not match the signature you provided.',
    );
  }
  if (key.expiresAtMs !== undefined && key.expiresAtMs <= state.nowMs()) return expired(service);
  return { kind: 'admitted', key, region: claim.region };
}

/** What a service says to a session that has ended. */
export function expired(service: Service): Refusal {
  return refuse(
    service,
    'expired-credentials',
    service === 'ec2' ? 'Request has expired.' : 'The security token included in the request is expired',
  );
}
