/** `outpost-dns sandbox patch`: one moment of a rolling patch of a simulated control plane, so that the link can be cut in it. */
import * as z from 'zod';
import { controlPathFor } from '../../sandbox/control.ts';
import { callSandbox } from '../../sandbox/control-client.ts';
import { SandboxError } from '../../sandbox/sandbox-error.ts';
import { EXIT, type ExitCode } from './exit-code.ts';

const moment = z.object({ moment: z.number(), of: z.number(), address: z.string(), step: z.string() });

export async function patchCluster(cluster: string, port: string): Promise<ExitCode> {
  try {
    const answer = await callSandbox(controlPathFor(Number(port)), 'POST', '/patch', { cluster });
    const { moment: at, of, address, step } = moment.parse(answer);
    process.stdout.write(`moment ${at} of ${of}: the interface of ${address} is ${step}\n`);
    return EXIT.well;
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error;
    const fix = error.code === 'not-running' ? ': start it with npm start' : '';
    process.stderr.write(`outpost-dns: cannot ${error.message}${fix}\n`);
    return EXIT.finding;
  }
}
