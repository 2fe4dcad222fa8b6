import type { NetworkInterface } from '@aws-sdk/client-ec2';
import type { Source, SourceContext } from '../observation.ts';
import type { Ec2Calls } from './aws-clients.ts';
import { controlPlaneInterfaces } from './control-plane-interfaces.ts';
import {
  escapeFilter,
  type InterfaceFinding,
  type InterfaceLook,
  keepUsable,
  listInterfaces,
} from './interface-listing.ts';
import { placeOf } from './place.ts';
import { answeredBut, type Explain, observation } from './source-error.ts';

/**
 * Which addresses exist: the cluster's network interfaces as EC2 lists them, of either generation of local cluster.
 *
 *     instance-store   interfaces that AWS put into the customer's subnets, known by their exact description
 *     ebs              interfaces of the control plane's instances in the customer's account (control-plane-interfaces.ts)
 *     not known        the first, and where it finds nothing the second
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
        const { addresses, statuses } = found;
        return {
          kind: 'addresses',
          source: 'interfaces',
          addresses,
          ...(statuses === undefined ? {} : { statuses }),
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
  if (context.generation === 'instance-store' || found.addresses.length > 0) return found;
  const older = await controlPlaneInterfaces(look);
  return { ...older, rejected: found.rejected + older.rejected };
}

/** Never filtered on requester, tags or instance: interfaces of an AWS-owned control plane have none that could be relied on. */
async function describedInterfaces(look: InterfaceLook): Promise<InterfaceFinding> {
  const description = `Amazon EKS ${look.context.cluster}`;
  const listed = await listInterfaces(look, { Name: 'description', Values: [escapeFilter(description)] });
  const isDescribed = (listing: NetworkInterface) => listing.Description?.trim() === description;
  return keepUsable(look.context, listed.filter(isDescribed));
}
