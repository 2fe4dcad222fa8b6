/** One HEAD request to a known address, of which only counts that somebody answered. No credentials, no SDK. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIPv6, type LookupFunction } from 'node:net';

export interface HeadRequest {
  /** Of http or https. */
  readonly url: string;
  /** Of the host that it names. */
  readonly address: string;
}

export type Head = (request: HeadRequest, signal: AbortSignal) => Promise<'answered' | 'timeout' | 'network'>;

export const headOf: Head = ({ url, address }, signal) => {
  const send = url.startsWith('http:') ? httpRequest : httpsRequest;
  const family = isIPv6(address) ? 6 : 4;
  const lookup: LookupFunction = (_host, options, done) => {
    if (options.all) done(null, [{ address, family }]);
    else done(null, address, family);
  };
  return new Promise((resolve) => {
    const call = send(url, { method: 'HEAD', agent: false, lookup, signal }, (response) => {
      response.destroy();
      resolve('answered');
    });
    // a certificate that does not hold is a proxy or a portal in between: no word from AWS
    call.on('error', () => resolve(signal.aborted ? 'timeout' : 'network'));
    call.end();
  });
};
