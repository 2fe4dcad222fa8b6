/** Pairs of keys of which one may not exceed the other. */
import type { Finding, Path } from '../fault.ts';
import { pathText } from '../fault.ts';
import { valueAt } from '../key.ts';
import { durationText } from '../kinds/duration.ts';
import type { CheckContext } from './checks.ts';

interface Pair {
  readonly lesser: Path;
  readonly greater: Path;
  readonly text: (value: number) => string;
}

const PAIRS: readonly Pair[] = [
  { lesser: ['refresh', 'retryMin'], greater: ['refresh', 'retryMax'], text: durationText },
  { lesser: ['forward', 'attemptMin'], greater: ['forward', 'attemptMax'], text: durationText },
  { lesser: ['forward', 'attemptMax'], greater: ['forward', 'deadline'], text: durationText },
  { lesser: ['limits', 'tcpConnectionsPerClient'], greater: ['limits', 'tcpConnections'], text: String },
];

export function* bounds(context: CheckContext): Iterable<Finding> {
  for (const { lesser, greater, text } of PAIRS) {
    const low = valueAt(context.draft, lesser);
    const high = valueAt(context.draft, greater);
    if (typeof low !== 'number' || typeof high !== 'number' || low <= high) continue;
    // The one that was written is the one to mend; its fellow may be a default that stands nowhere.
    const isLow = context.isWritten(lesser);
    yield {
      path: isLow ? lesser : greater,
      message: isLow
        ? `more than ${pathText(greater)}, which is ${text(high)}`
        : `less than ${pathText(lesser)}, which is ${text(low)}`,
      mend: isLow
        ? `write at most ${text(high)}, or raise ${pathText(greater)}`
        : `write at least ${text(low)}, or lower ${pathText(lesser)}`,
    };
  }
}
