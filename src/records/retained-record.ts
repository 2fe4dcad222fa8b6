/** What is known of one question that the operator wants answered whatever happens: what refresh asks for and store keeps. */
export interface RetainedRecord {
  /** A domain name in normal form; the class is IN. */
  readonly name: string;
  readonly qtype: number;
  /** The response, whole as an upstream sent it: for queries without DO, and for all where there is no `signedMessage`. */
  readonly message: Uint8Array;
  /** For queries with DO, where signatures make a difference. */
  readonly signedMessage?: Uint8Array;
  /** When an upstream last gave this answer, wall ms. */
  readonly confirmedAtMs: number;
  /** When it last gave another one, wall ms. */
  readonly changedAtMs: number;
}
