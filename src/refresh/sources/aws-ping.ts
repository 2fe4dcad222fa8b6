/** A sign of life from a Region: any HTTP answer of its EC2 endpoint, whatever it says. No credentials, no SDK. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import type { Ping } from '../link-probe.ts';
import type { Resolve } from '../observation.ts';

export interface AwsPingOptions {
  /** The EC2 endpoint of a Region, such as `https://ec2.us-west-2.amazonaws.com`; one that is no URL is not asked. */
  readonly endpoint: (region: string) => string;
  /** Asks upstreams, so that a dead system resolver holds nothing up. */
  readonly resolve: Resolve;
  /** Whether the upstreams are treated as unreachable although they may answer: a rehearsal. */
  readonly isCutOff: () => boolean;
}

export function createAwsPing({ endpoint, resolve, isCutOff }: AwsPingOptions): Ping {
  /** During a cut the name may not resolve either: the address it had is still the one to try. */
  const known = new Map<string, string>();
  return async (region, signal) => {
    const url = URL.parse('/ping', endpoint(region));
    if (url === null) return 'silent';
    let isUnresolved = false;
    const lookup: LookupFunction = (hostname, options, done) => {
      void resolve(hostname, signal).then((resolved) => {
        if (resolved.kind === 'addresses' && resolved.addresses[0] !== undefined)
          known.set(hostname, resolved.addresses[0]);
        const address = known.get(hostname);
        isUnresolved = address === undefined;
        if (address === undefined) return done(new Error(`cannot resolve "${hostname}"`), '', 4);
        if (options.all) done(null, [{ address, family: 4 }]);
        else done(null, address, 4);
      });
    };
    const outcome = await head(url, lookup, signal);
    // nobody could be asked for the address: that was the rehearsal's doing, and says nothing about the link
    return isUnresolved && isCutOff() ? 'silent' : outcome;
  };
}

function head(
  url: URL,
  lookup: LookupFunction,
  signal: AbortSignal,
): Promise<'answered' | 'timeout' | 'network'> {
  const send = url.protocol === 'http:' ? httpRequest : httpsRequest;
  return new Promise((resolve) => {
    const call = send(url, { method: 'HEAD', agent: false, lookup, signal }, (response) => {
      response.destroy();
      resolve('answered');
    });
    // a certificate that does not hold is a proxy or a portal in between: no word from AWS
    call.on('error', () => resolve(signal.aborted ? 'timeout' : 'network'));
    call.end();
  });
}
