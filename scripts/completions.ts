/**
 * Completion for bash, zsh and fish, made from the command line's own definitions. The scripts hold every word themselves.
 * Libraries for commander call the program at each press of the tab key, and a start of Node takes a tenth of a second.
 */
import type { Command, Option } from 'commander';

/** File below `completions/` and its text. */
export function completions(program: Command): [file: string, text: string][] {
  const levels = levelsOf(program);
  return [
    ['outpost-dns.bash', bash(levels)],
    ['_outpost-dns', zsh(levels)],
    ['outpost-dns.fish', fish(levels)],
  ];
}

/** A command with the words that lead to it; the program itself has none. */
interface Level {
  readonly path: readonly string[];
  readonly commands: readonly Command[];
  readonly options: readonly Option[];
  readonly choices: readonly string[];
}

function levelsOf(command: Command, path: readonly string[] = []): Level[] {
  const level = {
    path,
    commands: command.commands,
    options: command.createHelp().visibleOptions(command),
    choices: command.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
  };
  return [level, ...command.commands.flatMap((one) => levelsOf(one, [...path, one.name()]))];
}

const flagsOf = ({ short, long }: Option): string[] => [short, long].filter((flag) => flag !== undefined);
const takesValue = (option: Option): boolean => option.required || option.optional;

/** What a value is, by the name that the flags give it: `--config <file>`. */
function valueKind(option: Option): 'file' | 'directory' | 'other' {
  const name = /[<[](\w+)/.exec(option.flags)?.[1];
  return name === 'file' ? 'file' : name === 'directory' ? 'directory' : 'other';
}

const key = ({ path }: Level): string => path.join(' ');
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function bash(levels: readonly Level[]): string {
  const words = levels.map((level) => {
    const offered = [
      ...level.commands.map((command) => command.name()),
      ...level.choices,
      ...level.options.flatMap(flagsOf),
    ];
    return `    ${quoted(key(level))}) words=${quoted(offered.join(' '))} ;;`;
  });
  const values = levels.flatMap((level) =>
    level.options.filter(takesValue).map((option) => {
      const patterns = flagsOf(option).map((flag) => quoted([key(level), flag].join(' ').trim()));
      const kind = valueKind(option);
      const reply = option.argChoices
        ? `mapfile -t COMPREPLY < <(compgen -W ${quoted(option.argChoices.join(' '))} -- "$current")`
        : kind === 'other'
          ? 'COMPREPLY=()'
          : `compopt -o filenames; mapfile -t COMPREPLY < <(compgen ${kind === 'file' ? '-f' : '-d'} -- "$current")`;
      return `    ${patterns.join('|')}) ${reply}; return ;;`;
    }),
  );
  const names = levels.map((level) => quoted(key(level))).join('|');
  return `# bash completion for outpost-dns, generated from its command line
_outpost_dns() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path\${path:+ }$word" in
      ${names}) path="$path\${path:+ }$word" ;;
    esac
  done
  case "$path\${path:+ }$previous" in
${values.join('\n')}
  esac
  case $path in
${words.join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _outpost_dns outpost-dns
`;
}

/** Text inside the brackets of a specification for _arguments or _describe. */
const zshText = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll(/[[\]:]/g, (mark) => `\\${mark}`);

function zsh(levels: readonly Level[]): string {
  const functions = levels.map((level) => {
    const name = ['_outpost_dns', ...level.path].join('_');
    const specs = level.options.flatMap((option) => {
      const flags = flagsOf(option);
      const exclusive = flags.length > 1 ? `(${flags.join(' ')})` : '';
      const value = takesValue(option) ? `:value:${zshValue(option)}` : '';
      return flags.map((flag) => quoted(`${exclusive}${flag}[${zshText(option.description)}]${value}`));
    });
    const below = level.commands.map((command) =>
      quoted(`${command.name()}:${zshText(command.description())}`),
    );
    const choices = level.choices.length === 0 ? [] : [quoted(`*:value:(${level.choices.join(' ')})`)];
    if (below.length === 0)
      return `${name}() {\n  _arguments -s ${[...specs, ...choices].join(' \\\n    ')}\n}`;
    const cases = level.commands.map((command) => `      ${command.name()}) ${name}_${command.name()} ;;`);
    return `${name}() {
  local -a commands
  local state line context
  commands=(${below.join(' \\\n    ')})
  _arguments -C ${[...specs, quoted('1: :->command'), quoted('*:: :->rest')].join(' \\\n    ')}
  case $state in
    command) _describe command commands ;;
    rest)
      case $line[1] in
${cases.join('\n')}
      esac ;;
  esac
}`;
  });
  return `#compdef outpost-dns
# generated from the command line of outpost-dns
${functions.reverse().join('\n')}
_outpost_dns "$@"
`;
}

function zshValue(option: Option): string {
  if (option.argChoices) return `(${option.argChoices.join(' ')})`;
  const kind = valueKind(option);
  return kind === 'file' ? '_files' : kind === 'directory' ? '_files -/' : ' ';
}

function fish(levels: readonly Level[]): string {
  const lines = levels.flatMap((level) => {
    const seen = level.path.map((word) => `__fish_seen_subcommand_from ${word}`);
    const none =
      level.commands.length === 0
        ? []
        : [`not __fish_seen_subcommand_from ${level.commands.map((command) => command.name()).join(' ')}`];
    const condition = [...seen, ...none].join('; and ');
    const when = condition === '' ? '' : ` -n ${quoted(condition)}`;
    return [
      ...level.commands.map(
        (command) =>
          `complete -c outpost-dns -f${when} -a ${command.name()} -d ${quoted(command.description())}`,
      ),
      ...level.choices.map((choice) => `complete -c outpost-dns -f${when} -a ${choice}`),
      ...level.options.map((option) => `complete -c outpost-dns${when} ${fishOption(option)}`),
    ];
  });
  return `# fish completion for outpost-dns, generated from its command line
complete -c outpost-dns -f
${lines.join('\n')}
`;
}

function fishOption(option: Option): string {
  const names = flagsOf(option).map((flag) =>
    flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
  );
  const kind = valueKind(option);
  const value = !takesValue(option)
    ? []
    : option.argChoices
      ? [`-x -a ${quoted(option.argChoices.join(' '))}`]
      : kind === 'file'
        ? ['-r -F']
        : kind === 'directory'
          ? ["-x -a '(__fish_complete_directories)'"]
          : ['-x'];
  return [...names, ...value, `-d ${quoted(option.description)}`].join(' ');
}
