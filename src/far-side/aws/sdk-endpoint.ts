/**
 * Where the SDK sends its requests: asked of the SDK itself. A client with the same configuration composes a request, and
 * a handler that sends nothing takes the URL from it, so that no rule about endpoints is written a second time here.
 */
import type { HttpRequest } from '@smithy/core/protocols';

/** What makes a client send nothing: placeholders in place of credentials, and a handler that keeps the request. */
export interface Unsent {
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly maxAttempts: 1;
  readonly requestHandler: { handle(request: HttpRequest): Promise<never> };
}

/** Nothing is sent with them: they only let the SDK go through all its steps. */
const PLACEHOLDERS = { accessKeyId: 'none', secretAccessKey: 'none' };

/**
 * @param operationPath what `send` puts behind the endpoint's own path
 * @returns the URL of the endpoint, found out at the first call and kept with the client
 */
export function endpointOf(
  operationPath: string,
  send: (unsent: Unsent) => Promise<unknown>,
): () => Promise<string> {
  let known: Promise<string> | undefined;
  return () => {
    known ??= urlOf(operationPath, send);
    known.catch(() => {
      known = undefined;
    });
    return known;
  };
}

async function urlOf(operationPath: string, send: (unsent: Unsent) => Promise<unknown>): Promise<string> {
  let url: string | undefined;
  const requestHandler = {
    async handle({ protocol, hostname, port, path }: HttpRequest): Promise<never> {
      const base = path.endsWith(operationPath) ? path.slice(0, -operationPath.length) : path;
      url = `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${base}`;
      throw new Error('not sent: only the url was wanted');
    },
  };
  try {
    await send({ credentials: PLACEHOLDERS, maxAttempts: 1, requestHandler });
  } catch (error) {
    if (url === undefined) throw error;
  }
  if (url === undefined) throw new Error('the sdk composed no request');
  return url;
}
