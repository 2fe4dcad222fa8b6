/** Findings about a cut that is only imagined: the running server rehearses the questions, and no client notices. */
import { AS_IF_CUT_PATH, type AsIfCutReport, asIfCutReport } from '../../admin/as-if-cut-control.ts';
import { sendCommand } from '../server-client.ts';
import { type Finding, problem, warning } from './finding.ts';
import type { Site } from './site.ts';

export async function asIfCutFindings({ config }: Pick<Site, 'config'>): Promise<readonly Finding[]> {
  const answer = await sendCommand(config.state.directory, 'GET', AS_IF_CUT_PATH);
  if (answer.kind !== 'done') {
    const text = `the running server cannot say what would fail in a cut: ${answer.detail}`;
    return [problem('cut-not-rehearsed', text, answer.fix)];
  }
  const report = asIfCutReport.safeParse(answer.content);
  if (report.success) return cutFindings(report.data);
  return [
    problem(
      'cut-not-rehearsed',
      'the running server cannot say what would fail in a cut: the answer is not one of this version',
      'restart it, so that it runs this version: systemctl restart outpost-dns',
    ),
  ];
}

/** Findings of each group that are shown; the JSON of the server has all of them. */
const SHOWN = 10;

export function cutFindings({ endpoints, retained, asked }: AsIfCutReport): readonly Finding[] {
  return [
    ...listed(endpoints, (text) =>
      problem(
        'cut-endpoint-fails',
        `in a cut the endpoint ${text} would fail`,
        '"outpost-dns explain NAME" says why; start the server while AWS can be reached, until it is ready',
      ),
    ),
    ...listed(retained, (text) =>
      problem(
        'cut-retained-name-fails',
        `in a cut the retained name ${text} would fail`,
        '"outpost-dns status" says why no upstream answers it while connected; or remove it from retain',
      ),
    ),
    ...listed(asked, (text) =>
      warning(
        'cut-name-fails',
        `in a cut ${text}, which clients asked for in the last day, would fail`,
        'add the name to retain, or give its zone a forwardTo on the site; "outpost-dns explain NAME" says why',
      ),
    ),
  ];
}

function listed(
  { failing, more }: AsIfCutReport['asked'],
  findingOf: (text: string) => Finding,
): readonly Finding[] {
  const rest = failing.length - SHOWN + more;
  const shown = failing
    .slice(0, SHOWN)
    .map(({ name, type, step }) => findingOf(`"${name}" ${type} (${step})`));
  return failing.length > SHOWN ? [...shown, findingOf(`... and ${rest} more`)] : shown;
}
