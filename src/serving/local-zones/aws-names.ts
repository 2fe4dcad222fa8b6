/**
 * Names of AWS while it cannot be reached: one table, each row with its reason. A stale address of a service on the far
 * side of the link costs its clients a connect timeout. SERVFAIL costs them nothing, and they may try again later. Names of
 * things that may stand on the Outpost itself are answered with a stale answer if there is one.
 *
 * protocol/words/aws-partitions.ts has the suffixes of these names.
 */
import {
  AWS_PARTITIONS,
  PUBLIC_REGISTRY,
  partitionOf,
  suffixesOf,
} from '../../protocol/words/aws-partitions.ts';

export interface AwsName {
  /** The row is about this name and all names under it. The longest name counts. */
  readonly name: string;
  readonly says: 'servfail' | 'stale';
  readonly because: string;
}

const SERVICES = 'ECR, STS, S3 and all other services are in the Region';

const REGISTRY: AwsName = {
  name: PUBLIC_REGISTRY,
  says: 'servfail',
  because: "Amazon ECR's public registry is in a Region",
};

/** Labels before the suffix of a partition, for things that may stand on the site. */
const ON_SITE: readonly Pick<AwsName, 'name' | 'because'>[] = [
  { name: 'eks', because: 'endpoints of local clusters outside of this configuration' },
  { name: 'elb', because: 'Application Load Balancers on the Outpost: <name>.<region>.elb' },
  { name: 'rds', because: 'RDS on Outposts: <name>.<id>.<region>.rds; the API is rds.<region>' },
  { name: 'cache', because: 'ElastiCache on Outposts' },
  { name: 'compute', because: 'EC2 instances by public name: <ip>.<region>.compute' },
  { name: 'compute-1', because: 'EC2 instances by public name in us-east-1' },
];

/** The same before `<region>.` and a suffix. */
const ON_SITE_IN_REGION: readonly Pick<AwsName, 'name' | 'because'>[] = [
  { name: 'elb', because: 'Network Load Balancers on the Outpost: <name>.elb.<region>' },
  { name: 's3-outposts', because: 'S3 on Outposts keeps its objects on the site' },
  { name: 'eks-cluster', because: 'endpoints of clusters in their documented form: eks-cluster.<region>' },
];

/** The table for these Regions. */
export function awsNames(regions: readonly string[]): readonly AwsName[] {
  const all = new Map(
    AWS_PARTITIONS.flatMap((partition) => suffixesOf(partition).map((suffix) => [suffix, partition])),
  );
  const suffixes = [...all].map(([name, { id }]): AwsName => {
    return { name, says: 'servfail', because: `${SERVICES}: partition ${id}` };
  });
  const onSite = [...all.keys()].flatMap((suffix) =>
    ON_SITE.map(({ name, because }): AwsName => ({ name: `${name}.${suffix}`, says: 'stale', because })),
  );
  const inRegions = [...new Set(regions)].flatMap((region) =>
    suffixesOf(partitionOf(region)).flatMap((suffix) =>
      ON_SITE_IN_REGION.map(({ name, because }): AwsName => {
        return { name: `${name}.${region}.${suffix}`, says: 'stale', because };
      }),
    ),
  );
  return [...suffixes, REGISTRY, ...onSite, ...inRegions];
}
