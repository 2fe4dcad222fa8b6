/**
 * Asks CloudWatch whether AWS sees an Outpost as connected: the metric `ConnectedStatus` of the namespace `AWS/Outposts`. It is
 * what AWS thinks of the link, beside what this server measures itself. It proves nothing about an address.
 */
import type { GetMetricStatisticsCommandOutput } from '@aws-sdk/client-cloudwatch';
import type { Clock } from '../../runtime/clock.ts';
import type { OutpostRequest, OutpostView } from '../poll.ts';
import type { AwsMonitoring } from './clients.ts';
import { classifyAwsFailure } from './failure.ts';

/** The metric comes once a minute, some minutes late. */
const PERIOD_SECONDS = 60;
const WINDOW_MS = 15 * 60_000;

/** Never rejects. */
export async function askOutpost(
  { place, outpost }: OutpostRequest,
  { aws, clock }: { readonly aws: AwsMonitoring; readonly clock: Pick<Clock, 'wallMs'> },
  signal: AbortSignal,
): Promise<OutpostView> {
  try {
    const { GetMetricStatisticsCommand } = await import('@aws-sdk/client-cloudwatch');
    const nowMs = clock.wallMs();
    const command = new GetMetricStatisticsCommand({
      Namespace: 'AWS/Outposts',
      MetricName: 'ConnectedStatus',
      Dimensions: [{ Name: 'OutpostId', Value: outpost }],
      StartTime: new Date(nowMs - WINDOW_MS),
      EndTime: new Date(nowMs),
      Period: PERIOD_SECONDS,
      Statistics: ['Average'],
    });
    const output = await aws.cloudwatch.call(place, signal, (client, abort) => client.send(command, abort));
    return viewIn(output);
  } catch (error) {
    const { reason, detail } = classifyAwsFailure(error, clock.wallMs());
    return { kind: 'failed', reason, detail };
  }
}

/** The newest value: AWS gives them in no order. */
function viewIn({ Datapoints = [] }: GetMetricStatisticsCommandOutput): OutpostView {
  let newest: { readonly connected: number; readonly atMs: number } | undefined;
  for (const { Average, Timestamp } of Datapoints) {
    if (Average === undefined || Timestamp === undefined) continue;
    const atMs = Timestamp.getTime();
    if (newest === undefined || atMs > newest.atMs) newest = { connected: Average, atMs };
  }
  return newest === undefined ? { kind: 'no-data' } : { kind: 'seen', ...newest };
}
