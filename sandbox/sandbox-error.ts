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
