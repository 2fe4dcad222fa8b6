/** The contract of a check of the lab. */
import type { Tool } from './tools.ts';
import type { Workshop } from './workshop.ts';

export interface LabCheck {
  readonly name: string;
  readonly about: string;
  readonly tools: readonly Tool[];
  readonly run: (lab: Lab) => Promise<void>;
}

export interface Lab {
  readonly workshop: Workshop;
  /** A named statement that holds or fails; counted, never throws, returns whether it held. */
  step(name: string, action: () => Promise<void>): Promise<boolean>;
  /** A figure or a remark for the reader; not counted. */
  note(text: string): void;
}
