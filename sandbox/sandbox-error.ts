import type { ListenOptions, Server } from 'node:net';

export type SandboxErrorCode =
  | 'port-taken'
  | 'control-in-use'
  | 'control-path-taken'
  | 'control-path-too-long'
  | 'not-running'
  | 'command-refused'
  | 'no-such-cluster'
  | 'no-such-interface'
  | 'address-taken'
  | 'bad-record';

/** What the sandbox cannot do for its user; the message says it in a sentence. */
export class SandboxError extends Error {
  override readonly name = 'SandboxError';
  readonly code: SandboxErrorCode;

  constructor(code: SandboxErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

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
