import { partition } from '@aws-sdk/core/client';
import t from 'tap';
import { AWS_PARTITIONS, isNameOfAws, partitionOf } from '../../../src/protocol/words/aws-partitions.ts';

const REGIONS = [
  ['us-east-1', 'us-east-1'],
  ['us-west-2', 'us-east-1'],
  ['eu-central-1', 'us-east-1'],
  ['mx-central-1', 'us-east-1'],
  ['xx-new-9', 'us-east-1'], // unknown: the SDK takes the first partition
  ['cn-north-1', 'cn-northwest-1'],
  ['us-gov-east-1', 'us-gov-west-1'],
  ['eusc-de-east-1', 'eusc-de-east-1'],
  ['us-iso-east-1', 'us-iso-east-1'],
  ['us-iso-west-1', 'us-iso-east-1'],
  ['us-isob-east-1', 'us-isob-east-1'],
  ['eu-isoe-west-1', 'eu-isoe-west-1'],
  ['us-isof-south-1', 'us-isof-south-1'],
] as const;

t.test('each Region has the suffixes and the home of global services that the SDK gives it', (t) => {
  for (const [region, home] of REGIONS) {
    const ours = partitionOf(region);
    const theirs = partition(region);
    t.equal(ours.id, theirs.name, region);
    t.equal(ours.dnsSuffix, theirs.dnsSuffix, region);
    t.equal(ours.dualStackDnsSuffix, theirs.dualStackDnsSuffix, region);
    t.equal(ours.globalRegion, Reflect.get(theirs, 'implicitGlobalRegion'), region);
    t.equal(ours.globalRegion, home, region);
  }
  t.end();
});

t.test('every suffix of AWS is known, of whatever partition, and nothing beside it', (t) => {
  for (const suffix of [
    'amazonaws.com',
    'amazonaws.com.cn',
    'amazonaws.eu',
    'api.aws',
    'on.aws',
    'api.amazonwebservices.com.cn',
    'on.amazonwebservices.com.cn',
    'api.amazonwebservices.eu',
    'c2s.ic.gov',
    'sc2s.sgov.gov',
    'cloud.adc-e.uk',
    'csp.hci.ic.gov',
    'public.ecr.aws',
  ]) {
    t.ok(isNameOfAws(suffix), suffix);
    t.ok(isNameOfAws(`x.${suffix}`), `below ${suffix}`);
    t.notOk(isNameOfAws(`x${suffix}`), `beside ${suffix}`);
  }
  for (const name of ['aws', 'com', 'example.com', 'ic.gov', 'ecr.aws', 'aws.amazon.com']) {
    t.notOk(isNameOfAws(name), name);
  }
  t.equal(new Set(AWS_PARTITIONS.map(({ id }) => id)).size, AWS_PARTITIONS.length);
  t.end();
});
