/** The pages of the running daemon: what each of them reads. The first request loads this file. */
import type { Pages } from '../admin/http-server.ts';
import { createPages } from '../admin/pages.ts';
import { CLUSTERS_PER_TURN } from '../refresh/refresh-plane.ts';
import { inSlices } from '../runtime/slices.ts';
import { cutPanelOf } from './as-if-cut.ts';
import { rehearseCut } from './control-commands.ts';
import { timelineOf } from './page-parts.ts';
import type { DaemonParts } from './parts.ts';
import { ROOM_REPORTS } from './report.ts';
import type { Rooms } from './rooms.ts';
import type { RunningDaemon } from './running-daemon.ts';

export { importMetrics } from '../admin/pages.ts';

export function pagesOf(parts: DaemonParts, rooms: Rooms, daemon: RunningDaemon): Pages {
  const { clock, pause, timers } = parts;
  return createPages({
    reports: ROOM_REPORTS,
    status: () => inSlices(daemon.reporting(), pause, CLUSTERS_PER_TURN),
    clock,
    pause,
    revision: () => daemon.revision,
    timers,
    timeline: timelineOf(parts, rooms),
    pagePanels: cutPanelOf(() => rehearseCut(parts, rooms), parts),
  });
}
