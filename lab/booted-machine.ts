/** A Debian in a folder, booted with its own systemd: it runs /lab/checks.sh and turns itself off. */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Background, must } from './commands.ts';

/** Lets /lab/checks.sh of the machine run at its boot. */
export async function runAtBoot(machine: string): Promise<void> {
  await chmod(join(machine, 'lab', 'checks.sh'), 0o755);
  const units = join(machine, 'etc', 'systemd', 'system');
  await writeFile(
    join(units, 'lab.service'),
    `[Unit]
After=multi-user.target
[Service]
Type=oneshot
WorkingDirectory=/root
ExecStart=/lab/checks.sh
ExecStopPost=/bin/systemctl --no-block poweroff
`,
  );
  await mkdir(join(units, 'default.target.wants'), { recursive: true });
  await must([
    'ln',
    '-s',
    '/etc/systemd/system/lab.service',
    join(units, 'default.target.wants', 'lab.service'),
  ]);
}

/**
 * The container has its own processes, mounts and session: a signal to the group of systemd-nspawn does not reach it, and it
 * survives the end of systemd-nspawn. In a PID namespace of its own, all of it ends with systemd-nspawn. That ends with this
 * process, even where SIGKILL ends the lab.
 */
const CONTAINED = [
  'setpriv',
  '--pdeathsig',
  'KILL',
  'unshare',
  '--pid',
  '--fork',
  '--kill-child=KILL',
  '--mount-proc',
] as const;
/** systemd-nspawn wants to share mounts through this folder, which works only where it is a mount of its own. */
const SHARED = '/run/systemd/nspawn';

/** Boots the machine and waits until it turns itself off, or for `deadlineMs`; resolves with /lab/results. */
export async function boot(machine: string, deadlineMs: number): Promise<string> {
  const nspawn = `exec systemd-nspawn --quiet --private-network --register=no --keep-unit --boot --directory="$0"`;
  await using container = new Background([
    ...CONTAINED,
    'sh',
    '-ec',
    `mkdir -p ${SHARED}; mount -t tmpfs tmpfs ${SHARED}; ${nspawn}`,
    machine,
  ]);
  for (const deadline = performance.now() + deadlineMs; !container.hasEnded; await sleep(200))
    if (performance.now() > deadline) break;
  const results = await readFile(join(machine, 'lab', 'results'), 'utf8').catch(() => '');
  if (results === '') throw new Error(`no check ran at boot:\n${container.output.slice(-4000)}`);
  return results;
}
