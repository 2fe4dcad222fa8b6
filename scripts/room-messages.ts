/** Joins the rooms' declarations of log lines to one list. `docs/log.md` is generated from it. */
import { CONTROL_MESSAGES } from '../src/admin/control-server.ts';
import { HTTP_MESSAGES } from '../src/admin/http-server.ts';
import { HEALTH_MESSAGES } from '../src/commands/own-health.ts';
import { DAEMON_MESSAGES } from '../src/daemon/server-report.ts';
import { DRILL_MESSAGES } from '../src/drill/drill.ts';
import { FAR_SIDE_MESSAGES } from '../src/far-side/far-side-messages.ts';
import { LINK_MESSAGES } from '../src/link/link-monitor.ts';
import { type Declaration, LOG_MESSAGES } from '../src/log/log.ts';
import { REFRESH_MESSAGES, RETAINED_MESSAGES } from '../src/refresh/refresh-messages.ts';
import { RUNTIME_MESSAGES } from '../src/runtime/background.ts';
import { FORWARDER_MESSAGES } from '../src/serving/forwarder/forwarder-report.ts';
import { LISTENER_MESSAGES } from '../src/serving/listener/listener-messages.ts';
import { STORE_MESSAGES } from '../src/store/store-messages.ts';

/** In the order in which a person looks for them. */
export const ROOM_MESSAGES: readonly (readonly [room: string, Readonly<Record<string, Declaration>>])[] = [
  ['The link', LINK_MESSAGES],
  ['Endpoints, sources and credentials', REFRESH_MESSAGES],
  ['Retained names', RETAINED_MESSAGES],
  ['Upstreams', FORWARDER_MESSAGES],
  ['Configuration and state at the start', DAEMON_MESSAGES],
  ['State on disk', STORE_MESSAGES],
  ['Listening sockets', LISTENER_MESSAGES],
  ['Limits, and the log itself', LOG_MESSAGES],
  ['Drills', DRILL_MESSAGES],
  ['Pages', HTTP_MESSAGES],
  ['Commands', CONTROL_MESSAGES],
  ['The thread that speaks HTTPS', FAR_SIDE_MESSAGES],
  ['The runtime', RUNTIME_MESSAGES],
  ['The watchdog', HEALTH_MESSAGES],
];

/** The page `docs/log.md`. */
export function logPage(
  rooms: readonly (readonly [room: string, Readonly<Record<string, Declaration>>])[],
): string {
  const sections = rooms.map(
    ([room, declared]) => `## ${room}

| level | message | fields | what to do |
|---|---|---|---|
${Object.values(declared).map(row).join('\n')}
`,
  );
  return `<!-- Generated from the rooms' declarations by "node scripts/generate.ts": do not edit. -->

# Log

The log is on standard output: JSON lines for machines, one readable line for each event at a terminal (\`log.format\`). Under systemd it is
read with \`journalctl -u outpost-dns\`. A message is constant text, so that a search or a rule can match it; what differs is in its
fields. Every line also has \`time\`, and the lines about a cluster have \`cluster\` and \`region\`.

- \`error\`: something that works no longer, or a defect. A person has to act.
- \`warn\`: something that a person should know. Answers go on.
- \`info\`: an event of normal operation.
- \`debug\`: for developers. \`log.level: debug\` shows it.

A condition is logged when it begins and when it ends, not each time that it is seen. The ledger keeps the important events for months:
\`outpost-dns history\`.

${sections.join('\n')}`;
}

function row({ level, text, fields = {}, fix }: Declaration): string {
  const meanings = Object.entries(fields).map(([name, meaning]) => `\`${name}\`: ${meaning}`);
  return `| ${level} | ${text} | ${meanings.join('; ')} | ${fix ?? 'nothing'} |`;
}
