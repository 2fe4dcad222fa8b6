/** `outpost-dns explain NAME [TYPE]`: why the server answers a name as it does, now and in a cut. It asks no upstream. */
import type { Command } from 'commander';
import { EXPLAIN_PATH, type ExplainReport, explainReport } from '../admin/name-control.ts';
import { ageText, agoText } from '../report/report.ts';
import { questionOf, readType } from './question.ts';
import { command as ask, type ServerOptions } from './running-server.ts';
import {
  columns,
  EXIT,
  type ExitCode,
  OPTION,
  type Paint,
  paintForTerminal,
  print,
  printable,
  type Run,
  stateOption,
} from './subcommand.ts';

interface ExplainOptions extends ServerOptions {
  readonly json?: true;
}

export function define(command: Command, { ended }: Run): void {
  command
    .argument('<name>', 'domain name')
    .argument('[type]', 'record type (default: A)', readType)
    .option(...OPTION.config)
    .addOption(stateOption(command))
    .option(...OPTION.json)
    .action(async (name: string, type: number | undefined, options: ExplainOptions) =>
      ended(await explainName(name, type, options)),
    );
}

async function explainName(
  name: string,
  type: number | undefined,
  options: ExplainOptions,
): Promise<ExitCode> {
  const body = questionOf(name, type);
  if (typeof body === 'number') return body;
  const route = { method: 'GET', path: EXPLAIN_PATH, body } as const;
  const report = await ask(options, 'explain', route, explainReport);
  if (typeof report === 'number') return report;
  print(options.json ? JSON.stringify(report, null, 2) : explainLines(report, paintForTerminal));
  return EXIT.well;
}

export function explainLines(report: ExplainReport, paint: Paint): string[] {
  const { name, type, now, inCut, endpoint } = report;
  return [
    paint('bold', `${printable(name)} ${type}`),
    '',
    ...answerLines('now', now, paint),
    '',
    ...answerLines('in a cut', inCut, paint),
    ...(endpoint === undefined ? [] : endpointLines(endpoint, paint)),
  ];
}

type Answer = ExplainReport['now'];

function answerLines(when: string, answer: Answer, paint: Paint): string[] {
  const { step, why, rcode, records, upstreams, kept } = answer;
  const facts = [
    ['step:', `${step} (${why})`],
    ['answer:', answerText(answer, paint)],
    ...(upstreams.length === 0 ? [] : [['asks:', upstreams.map(printable).join(', ')]]),
    ...(kept === undefined ? [] : [['kept:', keptText(kept)]]),
  ];
  const lines = rcode === undefined ? [] : records.map((record) => `    ${printable(record)}`);
  return [paint('bold', when), ...columns(facts, 2), ...lines];
}

function answerText({ rcode, records }: Answer, paint: Paint): string {
  if (rcode === undefined) return paint('dim', 'only the upstreams know it');
  if (rcode === 'SERVFAIL') return paint('red', 'SERVFAIL');
  return rcode === 'NOERROR' && records.length === 0 ? 'NOERROR, without a record of this type' : rcode;
}

function keptText({ ageSeconds, freshForSeconds, givenForSeconds }: NonNullable<Answer['kept']>): string {
  const fresh =
    freshForSeconds > 0
      ? `fresh for ${ageText(freshForSeconds)} more`
      : `expired ${ageText(-freshForSeconds)} ago`;
  const until =
    givenForSeconds === undefined ? 'for ever, as a retained name' : `for ${ageText(givenForSeconds)} more`;
  return `${ageText(ageSeconds)} old, ${fresh}; given in a cut ${until}`;
}

function endpointLines(endpoint: NonNullable<ExplainReport['endpoint']>, paint: Paint): string[] {
  const { cluster, region, basis, sources, agreement, addresses, warnings } = endpoint;
  const place = region === undefined ? printable(cluster) : `${printable(cluster)}, ${region}`;
  const rows = sources.map(({ source, latest, ageSeconds, addresses: seen, failure }) => [
    source,
    `confirmed ${agoText(ageSeconds)}`,
    seen === undefined ? '-' : seen.map(printable).join(', '),
    failure === undefined ? latest : paint('red', `failed: ${printable(failure)}`),
  ]);
  return [
    '',
    paint('bold', `endpoint of ${place}`),
    ...columns(
      [
        ['basis:', basis],
        ['sources:', agreement],
        ...warnings.map((text) => ['warning:', paint('yellow', printable(text))]),
      ],
      2,
    ),
    ...columns(rows, 4),
    ...addresses.flatMap((one) => addressLines(one, paint)),
  ];
}

const SERVED = {
  first: ['green', 'served'],
  last: ['yellow', 'served last'],
  no: ['red', 'not served'],
} as const;

function addressLines(
  one: NonNullable<ExplainReport['endpoint']>['addresses'][number],
  paint: Paint,
): string[] {
  const { address, served, why, sources, proof } = one;
  const [style, text] = SERVED[served];
  const seen = sources.map(({ source, isInLastAnswer, firstSeenAgeSeconds, lastSeenAgeSeconds }) => {
    const times =
      lastSeenAgeSeconds === undefined
        ? 'in its last answer'
        : `${agoText(lastSeenAgeSeconds)}, first ${agoText(firstSeenAgeSeconds)}`;
    return `${source} ${times}${isInLastAnswer === false ? ', not in its last answer' : ''}`;
  });
  const proven =
    proof === undefined
      ? []
      : [
          `${proof.state} for ${ageText(proof.ageSeconds)}${proof.provenAgeSeconds === undefined ? '' : `, last proven ${agoText(proof.provenAgeSeconds)}`}`,
        ];
  return [
    '',
    `  ${paint('bold', printable(address))} ${paint(style, text)}`,
    ...columns(
      [
        ...why.map((sentence, at) => [at === 0 ? 'because:' : '', printable(sentence)]),
        ...proven.map((sentence) => ['proof:', sentence]),
        ...seen.map((sentence, at) => [at === 0 ? 'seen by:' : '', printable(sentence)]),
      ],
      4,
    ),
  ];
}
