/** Bash completes from the generated script; zsh and fish read theirs in the lab. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { completions } from '../../scripts/completions.ts';
import { wholeProgram } from '../../src/commands/program.ts';

const program = await wholeProgram();
const scripts = new Map(completions(program));

const script = join(t.testdir(), 'outpost-dns.bash');
writeFileSync(script, scripts.get('outpost-dns.bash') ?? '');

/** What bash offers for the last of `words`. */
function offered(...words: string[]): string[] {
  const run = spawnSync(
    'bash',
    [
      '-c',
      // compopt works only inside a real completion
      // biome-ignore lint/suspicious/noTemplateCurlyInString: an array of bash
      'compopt() { :; }; . "$1"; shift; COMP_WORDS=(outpost-dns "$@"); COMP_CWORD=$#; _outpost_dns; printf "%s\\n" "${COMPREPLY[@]}"',
      'bash',
      script,
      ...words,
    ],
    { encoding: 'utf8' },
  );
  t.equal(run.stderr, '');
  return run.stdout.split('\n').filter((word) => word !== '');
}

const names = program.commands.map((command) => command.name());

t.test('commands, then the options of the command', async (t) => {
  t.strictSame(
    offered('').filter((word) => !word.startsWith('-')),
    names,
  );
  t.strictSame(offered('stat'), ['status']);
  t.strictSame(offered('status', '--h'), ['--healthy', '--help']);
  t.notOk(offered('status', '').includes('status'), 'a command stands once');
});

t.test('subcommands, choices, and values that are choices', async (t) => {
  t.strictSame(offered('drill', 'st'), ['start', 'stop']);
  t.strictSame(offered('sandbox', 'link', 're'), ['refused']);
  t.ok(offered('export', '--format', '').includes('hosts'));
  t.strictSame(offered('drill', 'start', '--for', ''), [], 'a duration cannot be guessed');
  t.ok(offered('check', '--config', '/etc/pas').includes('/etc/passwd'), 'a file');
});

t.test('each script knows every command and every long option', async (t) => {
  for (const [file, text] of scripts)
    for (const command of program.commands)
      for (const one of [command, ...command.commands])
        for (const { long } of one.options)
          t.ok(
            text.includes(file.endsWith('.fish') ? `-l ${long?.slice(2)}` : `${long}`),
            `${file}: ${one.name()} ${long}`,
          );
});
