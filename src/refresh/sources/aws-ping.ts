/** A sign of life from a Region: any HTTP answer of its EC2 endpoint, whatever it says. No credentials, no SDK. */
import { isIP } from 'node:net';
import type { Ping } from '../link-probe.ts';
import type { Resolve } from '../observation.ts';
import type { HeadRequest } from './http-head.ts';

export interface AwsPingOptions {
  /** The EC2 endpoint of a Region, such as `https://ec2.us-west-2.amazonaws.com`; one that is no such URL is not asked. */
  readonly endpoint: (region: string) => string;
  /** Asks upstreams, so that a dead system resolver holds nothing up. */
  readonly resolve: Resolve;
  /** Whether the upstreams are treated as unreachable although they may answer: a rehearsal. */
  readonly isCutOff: () => boolean;
  /** Sends the request; `silent`: it could not be sent. Never rejects. */
  readonly head: (request: HeadRequest, signal: AbortSignal) => ReturnType<Ping>;
}

export function createAwsPing({ endpoint, resolve, isCutOff, head }: AwsPingOptions): Ping {
  /** During a cut the name may not resolve either: the address it had is still the one to try. */
  const known = new Map<string, string>();
  const addressOf = async (host: string, signal: AbortSignal): Promise<string | undefined> => {
    if (isIP(host) !== 0) return host;
    const resolved = await resolve(host, signal);
    const address = resolved.kind === 'addresses' ? resolved.addresses[0] : undefined;
    if (address !== undefined) known.set(host, address);
    return known.get(host);
  };
  return async (region, signal) => {
    const url = URL.parse('/ping', endpoint(region));
    if (url === null || !/^https?:$/.test(url.protocol)) return 'silent';
    const address = await addressOf(url.hostname.replace(/^\[|\]$/g, ''), signal);
    if (address !== undefined) return head({ url: url.href, address }, signal);
    // nobody could be asked for the address: that was the rehearsal's doing, and says nothing about the link
    if (isCutOff()) return 'silent';
    return signal.aborted ? 'timeout' : 'network';
  };
}
