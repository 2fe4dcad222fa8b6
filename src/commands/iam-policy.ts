/**
 * The least-privilege policy of AWS IAM for a configuration: the calls of its sources, and nothing else. `init --policy` prints it, and
 * `check` prints the statement that is missing. config/iam-policy.json is the same for the example.
 */
import { partitionOf } from '../protocol/words/aws-partitions.ts';
import { type SourceName, type SourcePermission, traitsOf } from '../records/sources.ts';

export interface Statement {
  readonly Sid: string;
  readonly Effect: 'Allow';
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
}

export interface Policy {
  readonly Version: '2012-10-17';
  readonly Statement: readonly Statement[];
}

/** A cluster, as far as the policy depends on it. */
export interface PolicyCluster {
  readonly name: string;
  readonly region?: string | undefined;
  readonly sources: readonly SourceName[];
  /** The hosted zone that the configuration names. */
  readonly zoneId?: string | undefined;
}

/** An account that is not known: within one account the policy is as narrow. */
const ANY_ACCOUNT = '*';

export function policyFor(clusters: readonly PolicyCluster[], accountId = ANY_ACCOUNT): Policy {
  const all = clusters.flatMap((cluster) =>
    cluster.sources.flatMap((source) =>
      (traitsOf(source).permissions ?? [])
        .filter(({ sid }) => cluster.zoneId === undefined || sid !== 'FindItsZone')
        .map((permission) => statement(permission, cluster, accountId)),
    ),
  );
  const bySid = Map.groupBy(all, ({ Sid }) => Sid);
  return { Version: '2012-10-17', Statement: [...bySid.values()].flatMap(merged) };
}

/** The statements that a source lacks after AWS denied it: of the one action that AWS named, or of all its actions. */
export function missingStatements(
  source: SourceName,
  cluster: Omit<PolicyCluster, 'sources'>,
  action?: string,
  accountId = ANY_ACCOUNT,
): readonly Statement[] {
  const needed = (traitsOf(source).permissions ?? []).filter(({ isOptional }) => isOptional !== true);
  const all = needed.map((one) => statement(one, cluster, accountId));
  const named = all.filter(({ Action }) => action !== undefined && [Action].flat().includes(action));
  return named.length === 0 ? all : named.map((one) => ({ ...one, Action: action ?? one.Action }));
}

function statement(
  { sid, actions, on }: SourcePermission,
  { name, region = '*', zoneId = '*' }: Omit<PolicyCluster, 'sources'>,
  accountId: string,
): Statement {
  const partition = partitionOf(region).id;
  const [service = ''] = actions[0]?.split(':') ?? [];
  const resources = {
    cluster: `arn:${partition}:eks:${region}:${accountId}:cluster/${name}`,
    zone: `arn:${partition}:${service}:::hostedzone/${zoneId}`,
    everything: '*',
  };
  const [only, ...others] = actions;
  const Action = only !== undefined && others.length === 0 ? only : actions;
  return { Sid: sid, Effect: 'Allow', Action, Resource: resources[on] };
}

/** Statements with one Sid differ in their resources alone. */
function merged(statements: readonly Statement[]): readonly Statement[] {
  const [first] = statements;
  if (first === undefined) return [];
  const resources = [...new Set(statements.flatMap(({ Resource }) => Resource))];
  return [{ ...first, Resource: resources.length === 1 ? (resources[0] ?? '*') : resources }];
}
