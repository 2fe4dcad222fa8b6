/** What the page shows beside the status: the timeline of the ledger, and the figures over time. */
import type { TimelineEvent } from '../admin/status-page.ts';
import type { ORIGIN } from '../serving/counters.ts';
import { readRecent } from '../store/ledger-reader.ts';
import { sentenceOfEntry } from '../store/ledger-sentence.ts';
import type { DaemonParts } from './parts.ts';
import type { Rooms } from './rooms.ts';
import { type Counts, TrendWatch } from './trend-watch.ts';

/** Events on the page; `outpost-dns history` has all of them. */
const MOST_EVENTS = 200;

/** The newest events, the newest first. The files are read again only after the ledger has written. */
export function timelineOf({ config, pause }: DaemonParts, { ledger, files }: Rooms) {
  let readAt = -1;
  let events: readonly TimelineEvent[] = [];
  return async (): Promise<readonly TimelineEvent[]> => {
    const { written } = ledger.state();
    if (written === readAt) return events;
    const entries = await readRecent(config.state.directory, MOST_EVENTS, pause, files);
    readAt = written;
    events = entries.map((entry) => {
      const { text, tone = 'plain' } = sentenceOfEntry(entry);
      const crash = entry.isAfterCrash ? ', after a run that ended without a stop' : '';
      return { at: entry.at, kind: entry.kind, text: `${text}${crash}`, tone };
    });
    return events;
  };
}

export function watchTrend({ config, clock, timers, random }: DaemonParts, rooms: Rooms): TrendWatch {
  const { directory } = config.state;
  const parts = { directory, files: rooms.files, clock, timers, random, read: () => countsOf(rooms) };
  return new TrendWatch(rooms.trend, parts);
}

/** Origins of answers for which an upstream was asked while the client waited. */
const ASKED = ['forwarded', 'failed'] as const satisfies readonly (keyof typeof ORIGIN)[];
const LINK_VALUES = {
  connected: 1,
  degraded: 0.5,
  recovering: 0.5,
  disconnected: 0,
  unknown: undefined,
} as const;

function countsOf({ resolver, forwarder, link }: Rooms): Counts {
  const { origins } = resolver.counters.read();
  const answers = Object.values(origins).reduce((sum, count) => sum + count, 0);
  const asked = ASKED.reduce((sum, origin) => sum + (origins[origin] ?? 0), 0);
  const { shortestRoundTripMs } = forwarder;
  return {
    answers,
    hits: answers - asked,
    upstreamSeconds: shortestRoundTripMs === undefined ? undefined : shortestRoundTripMs / 1000,
    link: LINK_VALUES[link.current().summary.condition],
  };
}
