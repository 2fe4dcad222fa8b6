import type { Instance, InstanceNetworkInterface } from '@aws-sdk/client-ec2';
import { allPages, present } from '../pages.ts';
import {
  escapeFilter,
  type InterfaceFinding,
  type InterfaceLook,
  keepUsable,
  listInterfaces,
  PAGE_SIZE,
  vpcFilter,
} from './interface-listing.ts';

/**
 * The older generation's control plane: three instances in the customer's account, whose interfaces carry a tag
 * with the cluster's name. Where no interface has the tag, all interfaces of the instances are taken: the endpoint's
 * are among them, and the name sources say which.
 */
export async function controlPlaneInterfaces(look: InterfaceLook): Promise<InterfaceFinding> {
  const tagged = await taggedInterfaces(look);
  if (tagged.addresses.length > 0) return tagged;
  const attached = await instanceInterfaces(look);
  return { ...attached, rejected: tagged.rejected + attached.rejected };
}

const TAG = 'eks-local:controlplane-name';

/** Filtered by key, compared by value here: the key alone is what is known for certain, and all clusters share it. */
async function taggedInterfaces(look: InterfaceLook): Promise<InterfaceFinding> {
  const listed = await listInterfaces(look, { Name: 'tag-key', Values: [TAG] });
  const own = listed.filter((candidate) =>
    candidate.TagSet?.some((tag) => tag.Key === TAG && tag.Value?.trim() === look.context.cluster),
  );
  return keepUsable(look.context, own);
}

async function instanceInterfaces(look: InterfaceLook): Promise<InterfaceFinding> {
  const instances = await listInstances(look);
  const own = instances.filter((instance) => isOfControlPlane(instance, look.context.cluster));
  const interfaces = own.flatMap((instance): InstanceNetworkInterface[] => instance.NetworkInterfaces ?? []);
  return keepUsable(look.context, interfaces);
}

function listInstances(look: InterfaceLook): Promise<Instance[]> {
  const { ec2, place, context, signal } = look;
  const Filters = [
    { Name: 'tag:Name', Values: [`${escapeFilter(context.cluster)}${INFIX}*`] },
    { Name: 'instance-state-name', Values: [...EXISTING] },
    ...vpcFilter(context),
  ];
  return allPages<Instance, string>(async (NextToken) => {
    const input = { Filters, MaxResults: PAGE_SIZE, ...(NextToken === undefined ? {} : { NextToken }) };
    const output = await ec2.describeInstances(place, input, signal);
    const reservations = present(output.Reservations, output, 'control-plane instances');
    const items = reservations.flatMap((reservation) => reservation.Instances ?? []);
    return { items, next: output.NextToken || undefined };
  });
}

const INFIX = '-control-plane-';
/** All states except `terminated`: an instance that is stopped or on its way down has its interfaces still. */
const EXISTING: readonly string[] = ['pending', 'running', 'stopping', 'stopped', 'shutting-down'];

/** The rest of the name is an ID. `a-control-plane-b-control-plane-i1` belongs to a cluster named `a-control-plane-b`. */
function isOfControlPlane(instance: Instance, cluster: string): boolean {
  const name = instance.Tags?.find((tag) => tag.Key === 'Name')?.Value ?? '';
  const prefix = `${cluster}${INFIX}`;
  const id = name.slice(prefix.length);
  const isOwn = name.startsWith(prefix) && id !== '' && !id.includes(INFIX);
  return isOwn && EXISTING.includes(instance.State?.Name ?? '');
}
