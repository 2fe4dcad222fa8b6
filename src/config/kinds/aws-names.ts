/** The names that AWS gives to things, checked before they go into a request. */
import { type Reading, textKind } from '../key.ts';

export function clusterName() {
  const allowed = 'the name of an EKS cluster: up to 100 letters, digits, "-" and "_", such as my-cluster';
  // No "*" and no "?": the name goes into a filter of EC2, where they are wildcards.
  return textKind(
    (text) => matching(text, /^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$/, 'not a name of an EKS cluster'),
    {
      allowed,
      pattern: '^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$',
    },
  );
}

export function regionName() {
  return textKind(readRegion, {
    allowed: 'an AWS Region, such as us-west-2',
    pattern: '^[a-z]{2,8}(-[a-z]{1,12})+-[0-9]{1,2}$',
  });
}

function readRegion(text: string): Reading<string> {
  if (/^[a-z]{2,8}(-[a-z]{1,12})+-[0-9]{1,2}$/.test(text)) return { value: text };
  const zone = /^([a-z]{2,8}(?:-[a-z]{1,12})+-[0-9]{1,2})(?:[a-z]|-.+)$/.exec(text);
  if (zone !== null) return { message: 'an availability zone, not a Region', mend: `write ${zone[1]}` };
  if (text !== text.toLowerCase())
    return { message: 'not an AWS Region', mend: `write ${text.toLowerCase()}` };
  return { message: 'not an AWS Region' };
}

export function vpcId() {
  return textKind((text) => matching(text, /^vpc-(?:[0-9a-f]{8}|[0-9a-f]{17})$/, 'not the ID of a VPC'), {
    allowed: 'the ID of a VPC, such as vpc-0a1b2c3d4e5f60718',
    pattern: '^vpc-([0-9a-f]{8}|[0-9a-f]{17})$',
  });
}

export function hostedZoneId() {
  return textKind(readHostedZoneId, {
    allowed: 'the ID of a hosted zone, such as Z0123456789ABCDEFGHIJ',
    pattern: '^Z[0-9A-Z]{1,31}$',
  });
}

function readHostedZoneId(text: string): Reading<string> {
  const bare = text.replace(/^\/?hostedzone\//, '');
  const reading = matching(bare, /^Z[0-9A-Z]{1,31}$/, 'not the ID of a hosted zone');
  if (bare === text || !('value' in reading)) return reading;
  return { message: 'more than the ID of a hosted zone', mend: `write ${bare}` };
}

export function profileName() {
  return textKind((text) => matching(text, /^[^\s[\]][^\p{Cc}[\]]{0,127}$/u, 'not the name of a profile'), {
    allowed: 'the name of a profile in the AWS configuration files, such as outpost-dns',
  });
}

function matching(text: string, pattern: RegExp, message: string): Reading<string> {
  return pattern.test(text) ? { value: text } : { message };
}
