/** DescribeCluster of the EKS API: REST with JSON. */
import { createHash } from 'node:crypto';
import { type ApiContext, type ApiReply, type ApiRequest, refusal, refuse, success } from './api.ts';
import type { Cluster } from './facts.ts';

export function answerEks(request: ApiRequest, { state }: ApiContext): ApiReply {
  if (request.operation !== 'DescribeCluster') {
    return refuse('eks', 'unknown-operation', 'The requested operation is not known to this service.');
  }
  const name = decodeURIComponent(request.path.split('/')[2] ?? '');
  const cluster = state.clusters.find((each) => each.name === name && each.region === request.region);
  if (cluster === undefined) {
    return refusal(404, 'ResourceNotFoundException', `No cluster found for name: ${name}.`);
  }
  return success(JSON.stringify({ cluster: clusterJson(cluster) }));
}

function clusterJson(cluster: Cluster): object {
  const isCreating = cluster.status === 'CREATING'; // then there is no endpoint and no certificate authority yet
  return {
    ...(cluster.generation === 'ebs' ? { id: clusterId(cluster) } : {}),
    name: cluster.name,
    arn: `arn:aws:eks:${cluster.region}:${cluster.accountId}:cluster/${cluster.name}`,
    createdAt: cluster.createdAtMs / 1000,
    version: cluster.kubernetesVersion,
    ...(isCreating
      ? {}
      : {
          endpoint: `https://${cluster.endpoint}`,
          certificateAuthority: { data: cluster.certificateAuthority },
        }),
    roleArn: `arn:aws:iam::${cluster.accountId}:role/eks-local-cluster`,
    resourcesVpcConfig: {
      subnetIds: cluster.subnetIds,
      securityGroupIds: [],
      clusterSecurityGroupId: cluster.securityGroupId,
      vpcId: cluster.vpcId,
      endpointPublicAccess: cluster.endpointPublicAccess,
      endpointPrivateAccess: cluster.endpointPrivateAccess,
      publicAccessCidrs: cluster.endpointPublicAccess ? ['0.0.0.0/0'] : [],
    },
    kubernetesNetworkConfig: { serviceIpv4Cidr: '172.20.0.0/16', ipFamily: 'ipv4' },
    status: cluster.status,
    platformVersion: 'eks-local-outposts.1',
    tags: {},
    outpostConfig: {
      outpostArns: [cluster.outpostArn],
      controlPlaneInstanceType: 'm5.large',
      ...(cluster.generation === 'instance-store' ? { etcdInstanceType: 'm5d.large' } : {}),
    },
  };
}

/** A UUID from a hash of the name, the same on every run: clusters of the newer generation have none. */
function clusterId({ region, name }: Cluster): string {
  const hex = createHash('sha256').update(`${region}/${name}`).digest('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}
