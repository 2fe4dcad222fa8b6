/**
 * Polls EKS for the description of a cluster: the name of its endpoint, where its interfaces are, and its Outpost. At the end,
 * CloudWatch is asked whether AWS sees the Outpost as connected.
 */
import type { GetMetricStatisticsCommandOutput } from '@aws-sdk/client-cloudwatch';
import type { Cluster, DescribeClusterCommandOutput } from '@aws-sdk/client-eks';
import { normalizeName } from '../../protocol/words/name.ts';
import type { ClusterDetails } from '../../records/endpoint-record.ts';
import { answeredBut } from '../../records/observation.ts';
import type { Clock } from '../../runtime/clock.ts';
import { type OutpostRequest, type OutpostView, type PollFunction, unlike } from '../poll.ts';
import type { AwsMonitoring } from './clients.ts';
import { placeOf } from './credentials.ts';
import { classifyAwsFailure } from './failure.ts';

export const pollCluster: PollFunction = async ({ settings, context, signal }, { aws, clock }) => {
  const { DescribeClusterCommand } = await import('@aws-sdk/client-eks');
  const name = context.cluster;
  const output = await aws.eks.call(placeOf(context, settings.profile), signal, (client, abort) =>
    client.send(new DescribeClusterCommand({ name }), abort),
  );
  return { kind: 'details', source: 'cluster', details: readDetails(output, name, clock.wallMs()) };
};

function readDetails(
  output: DescribeClusterCommandOutput,
  name: string,
  learnedAtMs: number,
): ClusterDetails {
  const { cluster } = output;
  if (cluster?.name !== name) {
    throw unlike(output, `describing cluster "${name}" failed: the answer does not describe it`);
  }
  const network = cluster.resourcesVpcConfig;
  const generation = generationOf(cluster);
  const outpost = cluster.outpostConfig?.outpostArns?.[0]?.split('/').at(-1);
  return {
    ...(isWord(cluster.id) ? { id: cluster.id } : {}),
    endpoint: endpointName(cluster, name),
    ...(network?.vpcId ? { vpcId: network.vpcId } : {}),
    subnetIds: network?.subnetIds ?? [],
    ...(cluster.certificateAuthority?.data
      ? { certificateAuthority: cluster.certificateAuthority.data }
      : {}),
    ...(generation === undefined ? {} : { generation }),
    ...(isWord(outpost) ? { outpost } : {}),
    learnedAtMs,
  };
}

/** The text of an ID that the state file accepts; AWS gives a UUID. */
function isWord(text: string | undefined): text is string {
  return text !== undefined && /^[^\p{Cc}]{1,255}$/u.test(text);
}

function endpointName(cluster: Cluster, name: string): string {
  const { endpoint, status } = cluster;
  if (!endpoint) {
    throw answeredBut(
      'empty',
      `describing cluster "${name}" failed: it has no endpoint yet, ${status ? `status "${status}"` : 'and no status'}`,
    );
  }
  const host = hostOf(endpoint);
  if (host === undefined) {
    throw answeredBut('malformed', `describing cluster "${name}" failed: endpoint "${endpoint}" is no name`);
  }
  return host;
}

const ADDRESS = /^(\[.*\]|[\d.]+)$/;

function hostOf(endpoint: string): string | undefined {
  try {
    const { hostname } = new URL(endpoint);
    return ADDRESS.test(hostname) || hostname === '' ? undefined : normalizeName(hostname);
  } catch {
    return undefined;
  }
}

/** An instance-store cluster names an etcd instance type; an older cluster, and a cluster in the Region, does not. */
function generationOf(cluster: Cluster): ClusterDetails['generation'] {
  if (cluster.outpostConfig === undefined) return undefined;
  return cluster.outpostConfig.etcdInstanceType ? 'instance-store' : 'ebs';
}

// The metric `ConnectedStatus` of the namespace `AWS/Outposts`: what AWS thinks of the link, beside what this server measures
// itself. It proves nothing about an address.

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
