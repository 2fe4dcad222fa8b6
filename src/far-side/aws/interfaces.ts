import type { NetworkInterface } from '@aws-sdk/client-ec2';
import type { Source, SourceContext } from '../../records/observation.ts';
import { answeredBut, type Explain, observation } from '../source-error.ts';
import type { Ec2Calls } from './clients.ts';
import { controlPlaneInterfaces } from './control-plane-interfaces.ts';
import {
  escapeFilter,
  type InterfaceFinding,
  type InterfaceLook,
  keepUsable,
  listInterfaces,
} from './interface-listing.ts';
import { placeOf } from './place.ts';

/**
 * Which addresses exist: the cluster's network interfaces as EC2 lists them, of either generation of local cluster.
 *
 *     instance-store   interfaces that AWS put into the customer's subnets, known by their exact description
 *     ebs              interfaces of the control plane's instances in the customer's account (control-plane-interfaces.ts)
 *     not known        the first, and where it finds nothing the second
 *
 * Where all of that finds nothing, a description that has the text among others is taken within the cluster's VPC and
 * subnets, and marked as doubtful: AWS only says that the description "has the text".
 *
 * An empty listing is a failure: interfaces do not vanish while the cluster lives, but filters, permissions and
 * eventual consistency make listings look empty.
 */
export interface InterfacesSourceOptions {
  readonly ec2: Ec2Calls;
  readonly explain: Explain;
  readonly profile?: string | undefined;
}

export function createInterfacesSource(options: InterfacesSourceOptions): Source {
  return {
    name: 'interfaces',
    observe: (context, signal) =>
      observation('interfaces', options.explain, async () => {
        const found = await find(options, context, signal);
        if (found.addresses.length === 0) {
          throw answeredBut(
            'empty',
            `listing interfaces of cluster "${context.cluster}" found none${found.rejected}`,
          );
        }
        const { addresses, statuses, isDoubtful } = found;
        return {
          kind: 'addresses',
          source: 'interfaces',
          addresses,
          ...(statuses === undefined ? {} : { statuses }),
          ...(isDoubtful === undefined ? {} : { isDoubtful }),
        };
      }),
  };
}

async function find(
  options: InterfacesSourceOptions,
  context: SourceContext,
  signal: AbortSignal,
): Promise<InterfaceFinding> {
  const look = { ec2: options.ec2, place: placeOf(context, options.profile), context, signal };
  if (context.generation === 'ebs') return controlPlaneInterfaces(look);
  const found = await describedInterfaces(look);
  if (found.addresses.length > 0) return found;
  const older =
    context.generation === 'instance-store'
      ? { addresses: [], rejected: '' }
      : await controlPlaneInterfaces(look);
  if (older.addresses.length > 0) return older;
  const loose = await looselyDescribedInterfaces(look);
  return { ...loose, rejected: found.rejected + older.rejected + loose.rejected };
}

/** Never filtered on requester, tags or instance: interfaces of an AWS-owned control plane have none that could be relied on. */
async function describedInterfaces(look: InterfaceLook): Promise<InterfaceFinding> {
  const description = `Amazon EKS ${look.context.cluster}`;
  const listed = await listInterfaces(look, { Name: 'description', Values: [escapeFilter(description)] });
  const isDescribed = (listing: NetworkInterface) => listing.Description?.trim() === description;
  return keepUsable(look.context, listed.filter(isDescribed));
}

/** Only where VPC and subnets are known: the text alone could be another cluster's. */
async function looselyDescribedInterfaces(look: InterfaceLook): Promise<InterfaceFinding> {
  const { cluster, vpcId, subnetIds } = look.context;
  if (vpcId === undefined || subnetIds.length === 0) return { addresses: [], rejected: '' };
  const pattern = `*Amazon EKS ${escapeFilter(cluster)}*`;
  const listed = await listInterfaces(look, { Name: 'description', Values: [pattern] });
  const found = keepUsable(
    look.context,
    listed.filter(({ Description = '' }) => hasTextOf(Description, cluster)),
  );
  return found.addresses.length === 0 ? found : { ...found, isDoubtful: true };
}

/** What may stand next to a whole word: `my-cluster-2` and `my-cluster.x` are other words than `my-cluster`. */
const BEFORE = /(?:^|[\s"'([{,;:/])$/;
const AFTER = /^(?:$|[\s"')\]},;:/]|\.(?:\s|$))/;
const TEXT = 'Amazon EKS ';

/** Whether the description names this cluster in whole words, and no other one beside it. */
export function hasTextOf(description: string, cluster: string): boolean {
  const parts = description.split(TEXT);
  const isNamedIn = (part: string) => part.startsWith(cluster) && AFTER.test(part.slice(cluster.length));
  const isWhole = parts.slice(0, -1).every((before, at) => BEFORE.test(at === 0 ? before : before.slice(-1)));
  return parts.length > 1 && isWhole && parts.slice(1).every(isNamedIn);
}
