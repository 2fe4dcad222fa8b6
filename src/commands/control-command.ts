/** Gives a command to the server that runs here, through its control socket, and reads the answer; the same for all such commands. */
import { userInfo } from 'node:os';
import type * as z from 'zod';
import { findPlace } from './running-server.ts';
import { sendCommand } from './server-client.ts';
import { EXIT, type ExitCode } from './subcommand.ts';
import { explain } from './terminal.ts';

/** The options that name the server. */
export interface ServerOptions {
  readonly config?: string;
  readonly state?: string;
}

/** `action` completes "cannot ...". Returns the answer, or the exit code after a failure that has been explained. */
export async function command<Report>(
  { config, state }: ServerOptions,
  action: string,
  route: { readonly method: 'GET' | 'POST'; readonly path: string; readonly body?: unknown },
  form: z.ZodType<Report>,
): Promise<Report | ExitCode> {
  const directory = await findPlace('stateDirectory', state, config);
  if (typeof directory === 'number') return directory;
  const answer = await sendCommand(directory, route.method, route.path, route.body);
  if (answer.kind !== 'done') {
    explain(`cannot ${action}: ${answer.detail}`, answer.fix);
    return EXIT.finding;
  }
  const report = form.safeParse(answer.content);
  if (report.success) return report.data;
  explain(
    `cannot ${action}: the answer is not one of this version`,
    'client and server may be of different versions: compare "outpost-dns --version" with the status',
  );
  return EXIT.finding;
}

/** The name of the user who gives the command: with sudo, the user who called sudo. */
export function commander(environment: NodeJS.ProcessEnv): string {
  const { SUDO_USER } = environment;
  if (SUDO_USER !== undefined && /^[^\p{Cc}]{1,64}$/u.test(SUDO_USER)) return SUDO_USER;
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`; // a user of a container may have no name
  }
}
