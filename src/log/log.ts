/**
 * The log as an argument: constant text plus fields. It knows no destination. A room declares its lines: level, text, fields,
 * and what an operator does about the line. A declared message is also the function that logs it; `docs/log.md` lists them.
 */

/** Pino's logger has this shape; tests pass a log that collects lines. */
export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
  child(fields: Record<string, unknown>): Log;
}

export interface Declaration {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** Lower case, without a full stop. It never changes with the event: the fields do. */
  readonly text: string;
  /** Each field, and its meaning. */
  readonly fields?: Readonly<Record<string, string>>;
  /** What an operator does about the line; absent where there is nothing to do. */
  readonly fix?: string;
}

export type Message<Field extends string = never> = Declaration &
  ((log: Log, fields?: { readonly [Name in Field]?: unknown }) => void);

type FieldOf<Declared> = Declared extends { readonly fields: infer Fields } ? keyof Fields & string : never;

/** Turns the declarations of a room into the functions that log them. */
export function messages<const All extends Readonly<Record<string, Declaration>>>(
  declarations: All,
): { readonly [Name in keyof All]: Message<FieldOf<All[Name]>> } {
  const made: Record<string, Message> = {};
  for (const [name, declaration] of Object.entries(declarations)) {
    const { level, text } = declaration;
    made[name] = Object.assign((log: Log, fields: object = {}) => log[level](fields, text), declaration);
  }
  // the loop has made one function for each name
  return made as { readonly [Name in keyof All]: Message<FieldOf<All[Name]>> };
}

/** The page `docs/log.md`, generated from the declarations of all rooms. */
export function logPage(
  rooms: readonly (readonly [room: string, Readonly<Record<string, Declaration>>])[],
): string {
  const sections = rooms.map(
    ([room, declared]) => `## ${room}

| level | message | fields | what to do |
|---|---|---|---|
${Object.values(declared).map(row).join('\n')}
`,
  );
  return `<!-- Generated from the rooms' declarations by "node scripts/generate.ts": do not edit. -->

# Log

The log is on standard output: JSON lines for machines, one readable line for each event at a terminal (\`log.format\`). Under systemd it is
read with \`journalctl -u outpost-dns\`. A message is constant text, so that a search or a rule can match it; what differs is in its
fields. Every line also has \`time\`, and the lines about a cluster have \`cluster\` and \`region\`.

- \`error\`: something that works no longer, or a defect. A person has to act.
- \`warn\`: something that a person should know. Answers go on.
- \`info\`: an event of normal operation.
- \`debug\`: for developers. \`log.level: debug\` shows it.

A condition is logged when it begins and when it ends, not each time that it is seen. The ledger keeps the important events for months:
\`outpost-dns history\`.

${sections.join('\n')}`;
}

function row({ level, text, fields = {}, fix }: Declaration): string {
  const meanings = Object.entries(fields).map(([name, meaning]) => `\`${name}\`: ${meaning}`);
  return `| ${level} | ${text} | ${meanings.join('; ')} | ${fix ?? 'nothing'} |`;
}

const LIMIT = { limit: 'its configuration key', times: 'times that it applied since the last line' };

export const LOG_MESSAGES = messages({
  clientsHeld: {
    level: 'warn',
    text: 'clients are held back by a limit',
    fields: { ...LIMIT, network: 'the network of one such client' },
    fix: 'find the client that asks so much; raise the limit only where its load is legitimate',
  },
  questionsHeld: {
    level: 'warn',
    text: 'questions are held back by a limit',
    fields: { ...LIMIT, name: 'one such name' },
    fix: 'find the client that asks for such names; check whether upstreams are slow',
  },
  linesDropped: {
    level: 'warn',
    text: 'log lines were dropped: the reader was too slow, or writing failed',
    fields: { dropped: 'their number' },
    fix: 'check the reader of the log, or the disk that it writes to',
  },
});
