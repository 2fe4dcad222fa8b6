import { type Clock, systemClock } from '../src/runtime/clock.ts';
import {
  type AccessKey,
  type Cluster,
  type ClusterSketch,
  clusterFacts,
  type DnsRecord,
  type HostedZone,
  type Instance,
  type NetworkInterface,
  type Population,
} from './facts.ts';
import { SandboxError } from './sandbox-error.ts';

/** A change of address that a re-created interface causes. */
export interface InterfaceMove {
  readonly cluster: string;
  readonly region?: string | undefined;
  readonly from: string;
  readonly to: string;
  /** The listing and the DNS records that change; both by default. With one alone the two sources disagree. */
  readonly interfaces?: boolean | undefined;
  readonly dns?: boolean | undefined;
}

/** The simulated facts and the changes they undergo. Facts are replaced, never changed in place. */
export class RegionState {
  clusters: readonly Cluster[];
  interfaces: readonly NetworkInterface[];
  instances: readonly Instance[];
  hostedZones: readonly HostedZone[];
  accessKeys: readonly AccessKey[];
  /** How far the Region's clock is ahead of this machine's: a client's signature then seems old. */
  clockOffsetMs = 0;
  /** What CloudWatch says of every Outpost, from 0 (impaired) to 1 (connected). */
  outpostConnected = 1;
  #records: readonly DnsRecord[];
  readonly #clock: Clock;

  constructor(population: Population, clock: Clock = systemClock) {
    this.clusters = population.clusters;
    this.interfaces = population.interfaces;
    this.instances = population.instances;
    this.hostedZones = population.hostedZones;
    this.accessKeys = population.accessKeys;
    this.#records = population.records;
    this.#clock = clock;
  }

  /** The Region's own wall clock. */
  nowMs(): number {
    return this.#clock.wallMs() + this.clockOffsetMs;
  }

  get records(): readonly DnsRecord[] {
    return this.#records;
  }

  /** The cluster of that name, in any Region where none is given. Throws SandboxError `no-such-cluster`. */
  cluster(name: string, region?: string): Cluster {
    const found = this.clusters.find(
      (cluster) => cluster.name === name && (region === undefined || cluster.region === region),
    );
    if (found === undefined) {
      const place = region === undefined ? '' : ` in ${region}`;
      const known = this.clusters.map((cluster) => `"${cluster.name}"`).join(', ');
      throw new SandboxError(
        'no-such-cluster',
        `find cluster "${name}"${place}: the sandbox has ${known || 'none'}`,
      );
    }
    return found;
  }

  /** The interfaces by which a cluster's control plane is found, whatever its generation. */
  interfacesOf(name: string, region?: string): readonly NetworkInterface[] {
    const cluster = this.cluster(name, region);
    return this.interfaces.filter((face) => face.region === cluster.region && isOfCluster(face, cluster));
  }

  /** What DNS answers for a cluster's endpoint. */
  endpointAddresses(name: string, region?: string): readonly string[] {
    const cluster = this.cluster(name, region);
    return this.#records
      .filter((record) => record.type === 'A' && sameName(record.name, cluster.endpoint))
      .map((record) => record.value);
  }

  /** Throws SandboxError `no-such-cluster`, `no-such-interface` or `address-taken`; then nothing has changed. */
  moveInterface(move: InterfaceMove): void {
    const cluster = this.cluster(move.cluster, move.region);
    const { interfaces = true, dns = true } = move;
    const face = this.interfacesOf(move.cluster, move.region).find(({ address }) => address === move.from);
    const record = this.#records.find(
      ({ name, type, value }) => type === 'A' && value === move.from && sameName(name, cluster.endpoint),
    );
    this.#checkMove(move, interfaces && face === undefined, dns && record === undefined);
    if (interfaces && face !== undefined) this.#replaceInterface({ ...face, address: move.to });
    if (dns && record !== undefined) {
      this.#records = this.#records.map((each) => (each === record ? { ...each, value: move.to } : each));
    }
  }

  #checkMove(move: InterfaceMove, interfaceIsMissing: boolean, recordIsMissing: boolean): void {
    const action = `move an address of cluster "${move.cluster}" from "${move.from}" to "${move.to}"`;
    if (interfaceIsMissing || recordIsMissing) {
      const seen = interfaceIsMissing
        ? this.interfacesOf(move.cluster, move.region).map(({ address }) => address)
        : this.endpointAddresses(move.cluster, move.region);
      const where = interfaceIsMissing ? 'its interfaces have' : 'its DNS records have';
      throw new SandboxError('no-such-interface', `${action}: ${where} ${seen.join(', ') || 'none'}`);
    }
    const holder = this.interfaces.find(({ address }) => address === move.to);
    if (holder !== undefined && move.interfaces !== false) {
      throw new SandboxError('address-taken', `${action}: interface "${holder.id}" has that address`);
    }
  }

  /** Deletes the cluster and creates it again under its name: with a new endpoint, new interfaces, perhaps a new VPC. */
  recreateCluster(
    name: string,
    region: string | undefined,
    next: Omit<ClusterSketch, 'name' | 'region'>,
  ): void {
    const old = this.cluster(name, region);
    const gone = new Set(this.interfacesOf(name, old.region));
    const ids = new Set([...gone].map(({ id }) => id));
    const facts = clusterFacts({ generation: old.generation, ...next, name, region: old.region });
    this.clusters = this.clusters.map((cluster) => (cluster === old ? facts.cluster : cluster));
    this.interfaces = [...this.interfaces.filter((face) => !gone.has(face)), ...facts.interfaces];
    this.instances = [
      ...this.instances.filter(({ interfaceIds }) => !interfaceIds.some((id) => ids.has(id))),
      ...facts.instances,
    ];
    this.#records = [
      ...this.#records.filter((record) => !sameName(record.name, old.endpoint)),
      ...facts.records,
    ];
  }

  addInterface(face: NetworkInterface): void {
    this.interfaces = [...this.interfaces, face];
  }

  /** Replaces the interface of the same ID, in part: a status, a description, an address. */
  updateInterface(id: string, change: Partial<Omit<NetworkInterface, 'id'>>): void {
    const face = this.interfaces.find((each) => each.id === id);
    if (face === undefined) throw new SandboxError('no-such-interface', `change interface "${id}": unknown`);
    this.#replaceInterface({ ...face, ...change });
  }

  removeInterface(id: string): void {
    this.interfaces = this.interfaces.filter((face) => face.id !== id);
  }

  #replaceInterface(face: NetworkInterface): void {
    this.interfaces = this.interfaces.map((each) => (each.id === face.id ? face : each));
  }

  /** Replaces all DNS records of one name and type; no values, no records. */
  setRecords(name: string, type: string, values: readonly string[], ttlSeconds = 60): void {
    const kept = this.#records.filter((record) => record.type !== type || !sameName(record.name, name));
    this.#records = [...kept, ...values.map((value) => ({ name, type, ttlSeconds, value }))];
  }

  /** Makes the key known, in place of one of the same ID. */
  putAccessKey(key: AccessKey): void {
    this.revokeAccessKey(key.accessKeyId);
    this.accessKeys = [...this.accessKeys, key];
  }

  revokeAccessKey(accessKeyId: string): void {
    this.accessKeys = this.accessKeys.filter((key) => key.accessKeyId !== accessKeyId);
  }
}

function isOfCluster(face: NetworkInterface, cluster: Cluster): boolean {
  return cluster.generation === 'ebs'
    ? face.tags['eks-local:controlplane-name'] === cluster.name
    : face.description === `Amazon EKS ${cluster.name}`;
}

function sameName(a: string, b: string): boolean {
  return plainName(a) === plainName(b);
}

/** Names are compared in lower case and without the final dot; the root is `.`. */
export function plainName(name: string): string {
  const lower = name.toLowerCase();
  return lower === '' || lower === '.' ? '.' : lower.replace(/\.$/, '');
}

/** The states of one interface during a patch; `unlisted` is EC2's eventual consistency. Its address never changes. */
export const PATCH_STEPS = ['detaching', 'unlisted', 'available', 'attaching', 'in-use'] as const;
export type PatchStep = (typeof PATCH_STEPS)[number];

export interface PatchMoment {
  /** From 1 to `of`. */
  readonly moment: number;
  readonly of: number;
  readonly address: string;
  readonly step: PatchStep;
}

/** The patch of one cluster, moment by moment; after the last one it begins again. */
export class RollingPatch {
  readonly #state: RegionState;
  readonly #ids: readonly string[];
  #moment = 0;

  constructor(state: RegionState, cluster: string, region?: string) {
    this.#state = state;
    this.#ids = state.interfacesOf(cluster, region).map(({ id }) => id);
  }

  next(): PatchMoment | undefined {
    const of = this.#ids.length * PATCH_STEPS.length;
    const at = this.#moment % Math.max(1, of);
    const id = this.#ids[Math.floor(at / PATCH_STEPS.length)];
    const step = PATCH_STEPS[at % PATCH_STEPS.length];
    const face = this.#state.interfaces.find((each) => each.id === id);
    if (face === undefined || step === undefined) return undefined;
    this.#moment = at + 1;
    this.#state.updateInterface(face.id, changeOf(face, step));
    return { moment: at + 1, of, address: face.address, step };
  }
}

const ATTACHMENTS = { detaching: 'detaching', unlisted: 'detached', available: 'detached' } as const;

function changeOf({ attachment }: NetworkInterface, step: PatchStep): Partial<NetworkInterface> {
  const status = step === 'unlisted' ? 'available' : step;
  const attached = step === 'attaching' ? 'attaching' : step === 'in-use' ? 'attached' : ATTACHMENTS[step];
  return {
    status,
    isUnlisted: step === 'unlisted',
    attachment: attachment && { ...attachment, status: attached },
  };
}
