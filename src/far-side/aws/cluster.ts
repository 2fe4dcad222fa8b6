/** Polls EKS for the description of a cluster: the name of its endpoint, and where its interfaces are. */
import type { Cluster, DescribeClusterCommandOutput } from '@aws-sdk/client-eks';
import { normalizeName } from '../../protocol/words/name.ts';
import type { ClusterDetails } from '../../records/endpoint-record.ts';
import { BETWEEN, type PollFunction } from '../poll.ts';
import { answeredBut, SourceError } from '../source-error.ts';
import { placeOf } from './credentials.ts';

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
    const isFromAws = output.$metadata.requestId !== undefined;
    throw new SourceError({
      reason: isFromAws ? 'malformed' : 'proxy',
      reachedFarSide: isFromAws,
      detail: `describing cluster "${name}" failed: the answer does not describe it${isFromAws ? '' : BETWEEN}`,
    });
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
      `describing cluster "${name}" failed: it has no endpoint yet, status "${status}"`,
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
