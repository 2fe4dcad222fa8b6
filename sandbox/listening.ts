import type { ListenOptions, Server } from 'node:net';
import { SandboxError } from './sandbox-error.ts';

/** Resolves when the server listens. Throws SandboxError `port-taken` where somebody else does. */
export function listening(server: Server, options: ListenOptions, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, `${options.host}:${options.port}`, what)));
    server.listen(options, resolve);
  });
}

/** The error to throw for what a listening socket reported. */
export function listenError(error: NodeJS.ErrnoException, address: string, what: string): Error {
  if (error.code !== 'EADDRINUSE') return error;
  return new SandboxError('port-taken', `listen on ${address} for ${what}: the port is taken`, {
    cause: error,
  });
}
