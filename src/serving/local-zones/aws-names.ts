/**
 * Names of AWS while it cannot be reached: one table, each row with its reason. A stale address of a service that is
 * on the far side of the link costs its clients a connect timeout; SERVFAIL costs them nothing, and says that trying
 * later is worth while. What may stand on the Outpost itself is given as long as it is known.
 */

export interface AwsName {
  /** This name and all under it; the longest one counts. */
  readonly name: string;
  readonly says: 'servfail' | 'stale';
  readonly because: string;
}

const SERVICES = 'ECR, STS, S3 and all other services are in the Region';

const SUFFIXES: readonly AwsName[] = [
  { name: 'amazonaws.com', says: 'servfail', because: SERVICES },
  { name: 'api.aws', says: 'servfail', because: `${SERVICES}: dual-stack names` },
  { name: 'amazonaws.com.cn', says: 'servfail', because: `${SERVICES}: China` },
  {
    name: 'api.amazonwebservices.com.cn',
    says: 'servfail',
    because: `${SERVICES}: China, dual-stack names`,
  },
  { name: 'amazonaws.eu', says: 'servfail', because: `${SERVICES}: European Sovereign Cloud` },
  {
    name: 'api.amazonwebservices.eu',
    says: 'servfail',
    because: `${SERVICES}: European Sovereign Cloud, dual-stack names`,
  },
];

/** Below the suffix of a partition: what has names of AWS's and may live on the site. */
const ON_SITE: readonly Pick<AwsName, 'name' | 'because'>[] = [
  { name: 'eks', because: 'endpoints of local clusters that this server is not told about' },
  { name: 'elb', because: 'Application Load Balancers on the Outpost: <name>.<region>.elb' },
  { name: 'rds', because: 'RDS on Outposts: <name>.<id>.<region>.rds; the API is rds.<region>' },
  { name: 'cache', because: 'ElastiCache on Outposts' },
  { name: 'compute', because: 'EC2 instances by public name: <ip>.<region>.compute' },
  { name: 'compute-1', because: 'EC2 instances by public name in us-east-1' },
];

const ON_SITE_IN_REGION: readonly Pick<AwsName, 'name' | 'because'>[] = [
  { name: 'elb', because: 'Network Load Balancers on the Outpost: <name>.elb.<region>' },
  { name: 's3-outposts', because: 'S3 on Outposts keeps its objects on the site' },
];

/** The table for these Regions. */
export function awsNames(regions: readonly string[]): readonly AwsName[] {
  const partitions = ['amazonaws.com', 'amazonaws.com.cn', 'amazonaws.eu'];
  const onSite = partitions.flatMap((suffix) =>
    ON_SITE.map(({ name, because }): AwsName => ({ name: `${name}.${suffix}`, says: 'stale', because })),
  );
  const inRegions = [...new Set(regions)].flatMap((region) =>
    ON_SITE_IN_REGION.map(({ name, because }): AwsName => {
      return { name: `${name}.${region}.${suffixOf(region)}`, says: 'stale', because };
    }),
  );
  return [...SUFFIXES, ...onSite, ...inRegions];
}

function suffixOf(region: string): string {
  if (region.startsWith('cn-')) return 'amazonaws.com.cn';
  return region.startsWith('eusc-') ? 'amazonaws.eu' : 'amazonaws.com';
}
