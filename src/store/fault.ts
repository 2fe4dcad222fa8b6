/** A file that stands where state should, and could not be served from. */
export interface Fault {
  readonly path: string;
  /** `newer`: written by a later version of ours; `unreadable`: the disk or the permissions refused. */
  readonly kind: 'corrupt' | 'foreign' | 'newer' | 'unreadable';
  /** A short slug: `checksum-mismatch`, `version-2`, `eacces`. */
  readonly reason: string;
  readonly detail: string;
}

/** A fault with what became of the file: `setAsideTo`, or `setAsideFailed` with the reason; neither while it stays in place. */
export interface LoadFault extends Fault {
  readonly setAsideTo?: string;
  readonly setAsideFailed?: string;
}
