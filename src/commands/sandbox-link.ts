/** `outpost-dns sandbox link down|up`: cuts the running sandbox's link, or restores it. */
import { controlPathFor } from '../../sandbox/control.ts';
import { callSandbox } from '../../sandbox/control-client.ts';
import { SandboxError } from '../../sandbox/sandbox-error.ts';
import { EXIT, type ExitCode } from './exit-code.ts';

const SAYING: Readonly<Record<string, string>> = {
  down: 'the link is cut: AWS and the upstream are silent',
  refused: 'the link is cut: AWS resets connections, the upstream is silent',
  up: 'the link is up',
};

export async function setLink(state: string, port: string): Promise<ExitCode> {
  const saying = SAYING[state];
  if (saying === undefined) {
    process.stderr.write(
      `outpost-dns: unknown link state "${state}": say ${Object.keys(SAYING).join(', ')}\n`,
    );
    return EXIT.usage;
  }
  try {
    await callSandbox(controlPathFor(Number(port)), 'POST', '/link', { state });
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error;
    const mend = error.code === 'not-running' ? ': start it with npm start' : '';
    process.stderr.write(`outpost-dns: cannot ${error.message}${mend}\n`);
    return EXIT.finding;
  }
  process.stdout.write(`${saying}\n`);
  return EXIT.well;
}
