/**
 * The only table of the partitions of AWS: their Regions, and the suffixes of their names. aws-partitions.json is generated from
 * the data of the SDK. The SDK itself is too heavy for the thread that answers queries. This file adds the facts that the SDK's
 * data lacks.
 */
import data from './aws-partitions.json' with { type: 'json' };
import { isAtOrUnder } from './name.ts';

export interface AwsPartition {
  /** Such as `aws-us-gov`. */
  readonly id: string;
  /** Names of services end so: `ec2.<region>.amazonaws.com`. */
  readonly dnsSuffix: string;
  /** Dual-stack names of services end so: `ec2.<region>.api.aws`. */
  readonly dualStackDnsSuffix: string;
  /** The Region with the APIs of services that have no Region of their own, such as Route 53. */
  readonly globalRegion: string;
}

export const AWS_PARTITIONS: readonly AwsPartition[] = data;

const PATTERNS = data.map(({ regionPattern }) => new RegExp(regionPattern));

/** An unknown Region belongs to the first partition, as in the SDK: it is most likely a new one there. */
export function partitionOf(region: string): AwsPartition {
  const at = PATTERNS.findIndex((pattern) => pattern.test(region));
  const found = AWS_PARTITIONS[at] ?? AWS_PARTITIONS[0];
  if (found === undefined) throw new RangeError('aws-partitions.json holds no partition');
  return found;
}

/**
 * Where names of customers' resources end, such as `<account>.dkr-ecr.<region>.on.aws`: beside the `api.` of the
 * dual-stack suffix stands an `on.`.
 */
function resourceSuffix({ dualStackDnsSuffix }: AwsPartition): string {
  return dualStackDnsSuffix.replace(/^api\./, 'on.');
}

/** Suffixes of one partition, each once. */
export function suffixesOf(partition: AwsPartition): readonly string[] {
  const { dnsSuffix, dualStackDnsSuffix } = partition;
  return [...new Set([dnsSuffix, dualStackDnsSuffix, resourceSuffix(partition)])];
}

/** Amazon ECR's public registry stands beside every partition. */
export const PUBLIC_REGISTRY = 'public.ecr.aws';

const SUFFIXES = [...new Set([...AWS_PARTITIONS.flatMap(suffixesOf), PUBLIC_REGISTRY])];

/** Whether AWS manages `name`, which is in normal form. */
export function isNameOfAws(name: string): boolean {
  return SUFFIXES.some((suffix) => isAtOrUnder(name, suffix));
}
