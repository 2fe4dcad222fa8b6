/**
 * The answer to a command of the control socket that is not done. It refuses to know how a body is checked: the socket opens a quarter
 * of a second after a start, and the commands with their bodies are loaded later.
 */

/** Why a command is not done, and how its caller fixes that. */
export class ControlRefusal {
  /** 400: the command makes no sense; 409: it makes none now. */
  readonly status: 400 | 409;
  readonly error: string;
  readonly fix: string;

  constructor(status: 400 | 409, error: string, fix: string) {
    this.status = status;
    this.error = error;
    this.fix = fix;
  }
}

/** `orElse`: what the command takes beside a name. */
export function notADomainName(text: string, orElse = ''): ControlRefusal {
  return new ControlRefusal(
    400,
    `"${text}" is not a domain name`,
    `write a name such as registry.example.com${orElse}`,
  );
}
