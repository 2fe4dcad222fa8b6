/** Says of a key or a certificate that it has ended, or that it ends soon: early enough to replace it before an outage. */
import { ageText } from '../../report/report.ts';

/** A month: a person has to issue the next one, and may be away. */
const ENDS_SOON_MS = 30 * 86_400_000;

/** `undefined` while the end is far away. `what` is the subject of the sentence. */
export function endingOf(
  what: string,
  endsAtMs: number,
  nowMs: number,
): { readonly hasEnded: boolean; readonly text: string } | undefined {
  const leftMs = endsAtMs - nowMs;
  const day = new Date(endsAtMs).toISOString().slice(0, 10);
  if (leftMs <= 0) return { hasEnded: true, text: `${what} ended on ${day}` };
  if (leftMs > ENDS_SOON_MS) return undefined;
  return { hasEnded: false, text: `${what} ends in ${ageText(leftMs / 1000)}, on ${day}` };
}
