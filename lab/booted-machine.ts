/** A Debian in a folder, booted with its own systemd: it runs /lab/checks.sh and turns itself off. */
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { atTheEnd, Background, must } from './commands.ts';

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

/** Boots the machine and waits until it turns itself off, or for `deadlineMs`; resolves with /lab/results. */
export async function boot(machine: string, deadlineMs: number): Promise<string> {
  // systemd-nspawn wants to share mounts through here, which works only where it is a mount of its own
  const shared = '/run/systemd/nspawn';
  await mkdir(shared, { recursive: true });
  await must(['mount', '-t', 'tmpfs', 'tmpfs', shared]);
  const unmount = () => void spawnSync('umount', ['--lazy', shared]);
  const release = atTheEnd(unmount);
  try {
    await using container = new Background([
      'systemd-nspawn',
      '--quiet',
      `--directory=${machine}`,
      '--private-network',
      '--register=no',
      '--keep-unit',
      '--boot',
    ]);
    for (const deadline = performance.now() + deadlineMs; !container.hasEnded; await sleep(200))
      if (performance.now() > deadline) break;
    const results = await readFile(join(machine, 'lab', 'results'), 'utf8').catch(() => '');
    if (results === '') throw new Error(`no check ran at boot:\n${container.output.slice(-4000)}`);
    return results;
  } finally {
    release();
    unmount();
  }
}
