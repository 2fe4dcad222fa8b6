/** The commands that pin the addresses of a cluster for a time, on the control socket; and their bodies, for server and client. */
import * as v from 'valibot';
import { flag, list, number, object, strictObject, text } from '../runtime/forms.ts';
import { ControlRefusal } from './control-refusal.ts';
import { type ControlRoute, controlRoute, printable } from './control-route.ts';

export const PIN_PATH = '/pin';
export const UNPIN_PATH = '/unpin';

/** Far more addresses than the API server of a cluster has. */
const MAX_ADDRESSES = 64;
const cluster = { cluster: printable, region: v.optional(printable) };

const pinBody = strictObject({
  ...cluster,
  addresses: list(v.pipe(text, v.ipv4('not an IPv4 address')), { least: 1, most: MAX_ADDRESSES }),
  forMs: number,
  why: printable,
  /** The user who gives the command. */
  by: printable,
});
const unpinBody = strictObject(cluster);

/** What is served after the command. */
export const pinReport = object({
  cluster: text,
  region: v.optional(text),
  endpoint: v.optional(text),
  /** The addresses that clients get now. */
  served: list(text),
  pin: v.optional(
    object({
      addresses: list(text),
      why: v.optional(text),
      by: v.optional(text),
      endsInSeconds: v.optional(number),
      /** The addresses that would be served without the pin. */
      unpinned: v.optional(list(text)),
    }),
  ),
  /** Whether the state file has the pin, or has lost it: false where a restart would undo the command. */
  isSaved: flag,
  saveFailure: v.optional(text),
});
export type PinReport = v.InferOutput<typeof pinReport>;

export type PinCommand = v.InferOutput<typeof pinBody>;
export type UnpinCommand = v.InferOutput<typeof unpinBody>;

/** The part of the refresh side that the commands use. */
export interface PinControl {
  /** The configured clusters. */
  clusters(): readonly {
    readonly name: string;
    readonly region?: string;
    readonly allowedAddresses: readonly string[];
    /** The pin of the configuration. */
    readonly pin: readonly string[];
    /** The pin of a command. */
    readonly commandPin?: { readonly addresses: readonly string[] } | undefined;
  }[];
  /** Why the address may not be served for this cluster; `undefined` where it may. */
  refusalOf(address: string, allowedAddresses: readonly string[]): string | undefined;
  pin(command: PinCommand): Promise<PinReport>;
  unpin(command: UnpinCommand): Promise<PinReport>;
}

const MIN_MS = 1_000;
/** A longer pin belongs in the configuration, where everybody sees it. */
const MAX_MS = 30 * 86_400_000;

export function pinRoutes(control: PinControl): readonly ControlRoute[] {
  return [
    controlRoute('POST', PIN_PATH, pinBody, (body) => pin(control, body)),
    controlRoute('POST', UNPIN_PATH, unpinBody, (body) => unpin(control, body)),
  ];
}

function pin(control: PinControl, asked: PinCommand): Promise<PinReport> | ControlRefusal {
  const found = find(control, asked);
  if (found instanceof ControlRefusal) return found;
  const { addresses, forMs } = asked;
  if (!(forMs >= MIN_MS && forMs <= MAX_MS)) {
    const fix = 'write 1s to 30d; clusters[].pin of the configuration pins without an end';
    return new ControlRefusal(400, `not a length for a pin: ${forMs / 1000} s`, fix);
  }
  if (found.pin.length > 0) {
    return new ControlRefusal(
      409,
      `the configuration pins cluster "${found.name}" to ${found.pin.join(', ')}, and that pin wins`,
      'change clusters[].pin in the configuration and reload it: systemctl reload outpost-dns',
    );
  }
  for (const address of addresses) {
    const refusal = control.refusalOf(address, found.allowedAddresses);
    if (refusal === undefined) continue;
    return new ControlRefusal(
      400,
      `"${address}" is refused: ${refusal}`,
      ADMISSIBLE.has(refusal)
        ? 'correct the address, or add its network to clusters[].allowedAddresses and reload the configuration'
        : 'correct the address: no network interface can have it',
    );
  }
  return control.pin({ ...asked, ...placeOf(found), addresses: [...new Set(addresses)] });
}

function unpin(control: PinControl, asked: UnpinCommand): Promise<PinReport> | ControlRefusal {
  const found = find(control, asked);
  if (found instanceof ControlRefusal) return found;
  if (found.commandPin !== undefined) return control.unpin(placeOf(found));
  const { name, pin } = found;
  if (pin.length === 0) {
    return new ControlRefusal(
      409,
      `cluster "${name}" is not pinned`,
      '"outpost-dns status" shows what is served, and from where',
    );
  }
  return new ControlRefusal(
    409,
    `the configuration pins cluster "${name}" to ${pin.join(', ')}: no command ends that pin`,
    'remove clusters[].pin from the configuration and reload it: systemctl reload outpost-dns',
  );
}

/** The refusals that allowedAddresses decides. */
const ADMISSIBLE: ReadonlySet<string> = new Set(['public', 'not-allowed']);

type Found = ReturnType<PinControl['clusters']>[number];

function placeOf({ name, region }: Found) {
  return { cluster: name, region };
}

function find(control: PinControl, { cluster, region }: UnpinCommand): Found | ControlRefusal {
  const clusters = control.clusters();
  const named = clusters.filter(({ name }) => name === cluster);
  const found = named.filter((one) => region === undefined || one.region === region);
  const [first, ...others] = found;
  if (first !== undefined && others.length === 0) return first;
  if (first !== undefined) {
    const regions = found.map((one) => one.region ?? 'none').join(', ');
    return new ControlRefusal(400, `"${cluster}" is a cluster in ${regions}`, 'add --region');
  }
  const known = clusters.map(({ name, region: of }) => (of === undefined ? name : `${name} (${of})`));
  const where = region === undefined ? '' : ` in Region "${region}"`;
  return new ControlRefusal(
    400,
    `no cluster "${cluster}"${where} is configured`,
    `what there is: ${known.slice(0, MAX_LISTED).join(', ')}${known.length > MAX_LISTED ? ', ...' : ''}`,
  );
}

const MAX_LISTED = 20;
