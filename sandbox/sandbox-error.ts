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

/** An action that the sandbox cannot do; the message is a sentence for the user. */
export class SandboxError extends Error {
  override readonly name = 'SandboxError';
  readonly code: SandboxErrorCode;

  constructor(code: SandboxErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Resolves when the server listens. Throws SandboxError `port-taken` where another program does. */
export function listening(server: Server, options: ListenOptions, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, `${options.host}:${options.port}`, what)));
    server.listen(options, resolve);
  });
}

/** The error to throw after an error of a listening socket. */
export function listenError(error: NodeJS.ErrnoException, address: string, what: string): Error {
  if (error.code !== 'EADDRINUSE') return error;
  return new SandboxError('port-taken', `listen on ${address} for ${what}: the port is taken`, {
    cause: error,
  });
}
