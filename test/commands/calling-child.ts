/** Calls what `call` of calling.ts names; the exit code is what it resolves to. */
const [file = '', name = '', options = '{}'] = process.argv.slice(2);
const room: Record<string, (options: unknown) => Promise<number>> = await import(
  `../../src/commands/${file}`
);
process.exitCode = await room[name]!(JSON.parse(options));
