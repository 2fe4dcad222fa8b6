/** AWS patches a control plane: one interface after the other is detached, missing from a listing, and attached again. */
import type { NetworkInterface } from './facts.ts';
import type { RegionState } from './region-state.ts';

/** What becomes of one interface, in order; `unlisted` is EC2's eventual consistency. Its address stays its own all along. */
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
    ...(attachment === undefined ? {} : { attachment: { ...attachment, status: attached } }),
  };
}
