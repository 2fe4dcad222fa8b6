/** Unbound as every check of the lab runs it: in the foreground, from a folder of its own, with a log that says when it serves. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from './commands.ts';

/** Writes the configuration to `folder`. `settings` go on with the clause `server:`. */
export async function unboundCommand(folder: string, settings: string): Promise<Command> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'unbound.conf');
  const head = `server:
    directory: "${folder}"
    chroot: ""
    username: ""
    pidfile: "${folder}/unbound.pid"
    use-syslog: no
    verbosity: 1
    do-daemonize: no
`;
  await writeFile(file, head + settings);
  return ['unbound', '-d', '-d', '-c', file];
}
