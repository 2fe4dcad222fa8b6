/** Man pages in man(7), made from the command line's own definitions and from the declared keys of the configuration. */
import type { Argument, Command, Option } from 'commander';
import { type DeclaredKey, declaredKeys } from './config-reference.ts';

const EXIT_STATUS: readonly (readonly [string, string])[] = [
  ['0', 'All is well.'],
  ['1', 'There is a finding, or the action failed.'],
  ['2', 'The usage or the configuration is wrong.'],
];

const FILES: readonly (readonly [string, string])[] = [
  ['/etc/outpost-dns/outpost-dns.yaml', 'The configuration, see outpost-dns.yaml(5).'],
  ['/etc/outpost-dns/environment', 'The environment of the service: credentials, a proxy.'],
  [
    '/var/lib/outpost-dns',
    'The state: the records, the ledger, the snapshot of answers, the control socket.',
  ],
  ['/usr/lib/outpost-dns/docs', 'The documents; outage.md is for the hour of an outage.'],
];

/** File below `man/` and its text. */
export function manPages(program: Command, version: string): [file: string, text: string][] {
  const source = `outpost-dns ${version}`;
  const pages: [string, string][] = program.commands.map((command) => [
    `man1/outpost-dns-${command.name()}.1`,
    commandPage(command, source),
  ]);
  return [
    ['man1/outpost-dns.1', programPage(program, source)],
    ...pages,
    ['man5/outpost-dns.yaml.5', configurationPage(source)],
  ];
}

function programPage(program: Command, source: string): string {
  return page('outpost-dns', 1, source, [
    section('NAME', `outpost-dns \\- ${escaped('DNS server for Amazon EKS local clusters')}`),
    section('SYNOPSIS', `.B outpost-dns\n.I command\n${escaped('[options]')}`),
    section('DESCRIPTION', escaped(program.description())),
    section(
      'COMMANDS',
      ...program.commands.map((command) =>
        entry(`.BR outpost\\-dns\\-${escaped(command.name())} (1)`, sentence(command.description())),
      ),
    ),
    section('OPTIONS', ...optionsOf(program)),
    tail([...program.commands.map((command) => `outpost\\-dns\\-${escaped(command.name())} (1)`)]),
  ]);
}

function commandPage(command: Command, source: string): string {
  const name = `outpost-dns-${command.name()}`;
  const subcommands = command.commands;
  return page(name, 1, source, [
    section('NAME', `${escaped(name)} \\- ${escaped(command.description())}`),
    section(
      'SYNOPSIS',
      synopsis(command, 'outpost-dns'),
      ...subcommands.map((one) => `.br\n${synopsis(one, `outpost-dns ${command.name()}`)}`),
    ),
    section('DESCRIPTION', escaped(sentence(command.description()))),
    ...argumentsAndOptions(command),
    ...subcommands.flatMap((one) => [
      section(
        `${command.name()} ${one.name()}`.toUpperCase(),
        escaped(sentence(one.description())),
        ...one.registeredArguments.map(argumentEntry),
        ...optionsOf(one),
      ),
    ]),
    tail(['outpost\\-dns (1)']),
  ]);
}

function argumentsAndOptions(command: Command): string[] {
  const given = command.registeredArguments;
  return [
    ...(given.length > 0 ? [section('ARGUMENTS', ...given.map(argumentEntry))] : []),
    section('OPTIONS', ...optionsOf(command)),
  ];
}

function synopsis(command: Command, before: string): string {
  const words = command.registeredArguments.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
    return argument.required ? `<${name}>` : `[${name}]`;
  });
  return `.B ${escaped(`${before} ${command.name()}`)}\n${escaped(['[options]', ...words].join(' '))}`;
}

function optionsOf(command: Command): string[] {
  return command.createHelp().visibleOptions(command).map(optionEntry);
}

function optionEntry(option: Option): string {
  return entry(`.B ${escaped(option.flags)}`, withFacts(option.description, option));
}

function argumentEntry(argument: Argument): string {
  return entry(`.I ${escaped(argument.name())}`, withFacts(argument.description, argument));
}

function withFacts(text: string, { argChoices, defaultValue }: Option | Argument): string {
  const facts = [
    ...(argChoices && argChoices.length > 0 ? [`One of ${argChoices.join(', ')}.`] : []),
    ...(['string', 'number'].includes(typeof defaultValue) && !/default/.test(text)
      ? [`Default: ${defaultValue}.`]
      : []),
  ];
  return [...(text === '' ? [] : [sentence(text)]), ...facts].join(' ');
}

function configurationPage(source: string): string {
  return page('outpost-dns.yaml', 5, source, [
    section('NAME', 'outpost-dns.yaml \\- configuration of outpost\\-dns'),
    section(
      'DESCRIPTION',
      escaped(
        'One YAML file. A useful file names clusters and upstreams; every other key has a default. A variable of the environment overrides a key, such as OUTPOST_DNS_LOG__LEVEL=debug. "outpost-dns check" reports all faults at once.',
      ),
    ),
    section(
      'EXAMPLE',
      `.EX\n${escaped(`clusters:\n  - name: my-cluster\n    region: us-west-2\nupstreams:\n  - 10.0.0.2`)}\n.EE`,
    ),
    ...declaredKeys.map((key) => section(key.name.toUpperCase(), ...keyEntries(key))),
    tail(['outpost\\-dns (1)', 'outpost\\-dns\\-check (1)']),
  ]);
}

function keyEntries(key: DeclaredKey, above = ''): string[] {
  const path = `${above}${key.name}`;
  const { doc, defaultValue, allowed, isRequired } = key.facts;
  if (key.keys.length > 0) {
    const below = key.keys.flatMap((one) => keyEntries(one, `${path}${key.isListOfMaps ? '[]' : ''}.`));
    return [entry(`.B ${escaped(path)}`, sentence(doc ?? '')), ...below];
  }
  const state = isRequired
    ? 'Required'
    : defaultValue === undefined
      ? 'No default'
      : `Default: ${JSON.stringify(defaultValue).replaceAll(',', ', ')}`;
  return [entry(`.B ${escaped(path)}`, `${sentence(doc ?? '')} ${state}; ${allowed}.`)];
}

function page(name: string, chapter: number, source: string, parts: readonly string[]): string {
  // no date: two builds of one commit are the same on every day
  return [`.TH "${escaped(name).toUpperCase()}" "${chapter}" "" "${escaped(source)}" ""`, ...parts, ''].join(
    '\n',
  );
}

function tail(seeAlso: readonly string[]): string {
  return [
    section('EXIT STATUS', ...EXIT_STATUS.map(([code, text]) => entry(`.B ${code}`, text))),
    section('FILES', ...FILES.map(([path, text]) => entry(`.I ${escaped(path)}`, text))),
    section(
      'SEE ALSO',
      ...seeAlso.map((word, index) => `.BR ${word}${index < seeAlso.length - 1 ? ' ,' : ''}`),
    ),
  ].join('\n');
}

function section(title: string, ...parts: readonly string[]): string {
  return [`.SH "${escaped(title)}"`, ...parts].join('\n');
}

function entry(head: string, text: string): string {
  return `.TP\n${head}\n${escaped(text)}`;
}

function sentence(text: string): string {
  const whole = `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
  return /[.?!]$/.test(whole) || whole === '' ? whole : `${whole}.`;
}

/** Text for roff: each character stays, and no line starts a request. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .split('\n')
    .map((line) => (/^[.']/.test(line) ? `\\&${line}` : line))
    .join('\n');
}
