/** Every command, option and key has its place in a man page, and no text becomes a request of roff. */
import t from 'tap';
import packageJson from '../../package.json' with { type: 'json' };
import { declaredKeys } from '../../scripts/config-reference.ts';
import { manPages } from '../../scripts/man-pages.ts';
import { wholeProgram } from '../../src/commands/program.ts';

const program = await wholeProgram();
const pages = new Map(manPages(program, packageJson.version));
/** As a reader sees it. */
const seen = (file: string): string => (pages.get(file) ?? '').replaceAll('\\-', '-').replaceAll('\\e', '\\');

t.test('a page for each command, with each option of it and of its subcommands', async (t) => {
  for (const command of program.commands) {
    const text = seen(`man1/outpost-dns-${command.name()}.1`);
    t.match(text, command.description(), command.name());
    for (const one of [command, ...command.commands])
      for (const { flags } of one.options) t.match(text, `\n.B ${flags}\n`, `${one.name()} ${flags}`);
    t.match(seen('man1/outpost-dns.1'), `.BR outpost-dns-${command.name()} (1)`);
  }
});

t.test('a section for each key of the configuration', async (t) => {
  for (const { name } of declaredKeys) t.match(seen('man5/outpost-dns.yaml.5'), `\n.B ${name}\n`, name);
});

t.test('only the requests of these pages', async (t) => {
  const requests = new Set(
    [...pages.values()].flatMap((text) => [...text.matchAll(/^[.'](\w*)/gm)].map((match) => match[1])),
  );
  t.strictSame([...requests].sort(), ['B', 'BR', 'EE', 'EX', 'I', 'SH', 'TH', 'TP', 'br']);
  for (const [file, text] of pages) t.notMatch(text, /\\(?![-e&])/, file);
});
