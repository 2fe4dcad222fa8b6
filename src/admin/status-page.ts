/**
 * The status as a page for a browser: ready or not, the link, each endpoint, then the rest; what needs a person comes
 * first and in words. One document with its style and a few lines of script, nothing else is loaded: it has to work on a
 * site that is cut off. Without script it loads itself anew; with it, only what is shown is replaced, and a server that
 * has gone silent is said to be.
 */
import { createHash } from 'node:crypto';
import { Html, html } from './html.ts';
import type { EndpointReport, RetainedReport, StatusReport, UpstreamReport } from './status-report.ts';
import {
  ageText,
  BASIS_TEXT,
  cutText,
  processTroubles,
  shownRetained,
  writeTroubles,
} from './status-words.ts';

const EVERY_SECONDS = 5;

export function statusPage(report: StatusReport): string {
  const title = report.server.ready ? 'outpost-dns' : 'outpost-dns: not ready';
  return html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<noscript><meta http-equiv="refresh" content="${EVERY_SECONDS}"></noscript>
<style>${new Html(STYLE)}</style>
<p id="silent" role="alert" hidden>This server does not answer any more: what is shown below is old.</p>
<main>
${body(report)}</main>
<footer>outpost-dns ${report.server.version} on ${report.server.runtime} · <a href="/status">JSON</a> · <a href="/metrics">metrics</a> · <a href="/readyz">ready?</a> · <a href="/healthz">healthy?</a></footer>
<script>${new Html(SCRIPT)}</script>
</html>
`.text;
}

function body(report: StatusReport): Html {
  const { server, link, drill, endpoints, upstreams, retained, state } = report;
  return html`<h1>outpost-dns ${badge(server.ready ? 'good' : 'bad', server.ready ? 'ready' : 'not ready')}</h1>
${list(server.notReady)}${drill.isRunning ? html`<p class="note">A drill runs: an outage is rehearsed by this server alone${drill.endsInSeconds === undefined ? '' : html`, for another ${ageText(drill.endsInSeconds)}`}.</p>` : ''}
${list([...state.faults, ...writeTroubles(state), ...processTroubles(report.process)])}<h2>Link ${badge(LINK_TONES[link.summary.condition], link.summary.condition)}</h2>
${table(
  ['path', 'condition', 'for', 'because'],
  link.paths.map(({ side, key, condition, ageSeconds, reason }) => [
    `${side} ${key}`,
    badge(LINK_TONES[condition], condition),
    ageText(ageSeconds),
    reason,
  ]),
)}${endpoints.map(endpointSection)}<h2>Upstreams</h2>
${table(['upstream', 'state', 'round trip', 'in flight'], upstreams.map(upstreamRow))}${
  retained.length === 0 ? '' : retainedSection(report)
}<h2>Server</h2>
${serverTable(report)}`;
}

type Tone = 'good' | 'doubtful' | 'bad' | 'plain';

const LINK_TONES: Readonly<Record<StatusReport['link']['summary']['condition'], Tone>> = {
  unknown: 'plain',
  connected: 'good',
  degraded: 'doubtful',
  recovering: 'doubtful',
  disconnected: 'bad',
};

function endpointSection(endpoint: EndpointReport): Html {
  const { cluster, region, basis, addresses, confirmedAgeSeconds, changedAgeSeconds, held, warnings } =
    endpoint;
  const place = region === undefined ? cluster : `${cluster}, ${region}`;
  const isOld = basis === 'kept' || basis === 'none' || basis === 'pin';
  const heldText =
    held === undefined
      ? []
      : [`held back for ${ageText(held.ageSeconds)}: ${held.addresses.join(', ')}: ${held.reason}`];
  return html`<section><h2><code>${endpoint.endpoint ?? 'name not known yet'}</code> <small>${place}</small></h2>
<p class="addresses">${addresses.length === 0 ? badge('bad', 'no address') : addresses.map(({ address, isDead }) => html`<code${new Html(isDead ? ' class="dead" title="does not answer, given last"' : '')}>${address}</code> `)}</p>
<p>${badge(isOld ? 'doubtful' : 'good', BASIS_TEXT[basis] ?? basis)} confirmed ${agoText(confirmedAgeSeconds)}, changed ${agoText(changedAgeSeconds)}, TTL ${endpoint.ttlSeconds} s</p>
${list([...warnings, ...heldText])}${table(
  ['source', 'confirmed', 'sees', 'latest'],
  endpoint.sources.map(({ source, ageSeconds, addresses: seen, latest, lastFailure }) => [
    source,
    agoText(ageSeconds),
    seen?.join(', ') ?? '',
    latest === 'failed' && lastFailure !== undefined
      ? html`${badge('bad', lastFailure.reason)} ${lastFailure.detail}`
      : latest,
  ]),
)}</section>`;
}

function upstreamRow(report: UpstreamReport): Cell[] {
  const { upstream, isHealthy, isLooping, rttSeconds, inFlight } = report;
  const isCut = isHealthy && report.cutNames > 0;
  const state = isLooping
    ? badge('bad', 'loops back to this server')
    : badge(
        isCut ? 'doubtful' : isHealthy ? 'good' : 'bad',
        isCut ? cutText(report) : isHealthy ? 'up' : 'down',
      );
  const roundTrip = rttSeconds === undefined ? '' : `${Number((rttSeconds * 1000).toPrecision(2))} ms`;
  return [upstream, state, roundTrip, inFlight];
}

const RETAINED_TONES: Readonly<Record<RetainedReport['state'], Tone>> = {
  fresh: 'good',
  stale: 'doubtful',
  denied: 'doubtful',
  unknown: 'bad',
};

function retainedSection(report: StatusReport): Html {
  const { shown, rest } = shownRetained(report);
  return html`<h2>Retained names</h2>
${table(['name', 'type', 'state', 'confirmed'], shown.map(retainedRow))}${rest === undefined ? '' : html`<p>${rest}</p>\n`}`;
}

function retainedRow(retained: RetainedReport): Cell[] {
  const { name, type, state, confirmedAgeSeconds, doubtedAgeSeconds, lastFailure } = retained;
  const confirmed =
    confirmedAgeSeconds === undefined ? (lastFailure?.detail ?? 'never') : agoText(confirmedAgeSeconds);
  const doubted =
    doubtedAgeSeconds === undefined ? '' : `; denied for ${ageText(doubtedAgeSeconds)}, not believed`;
  return [name, type, badge(RETAINED_TONES[state], state), `${confirmed}${doubted}`];
}

function serverTable({ server, cache, queries, state }: StatusReport): Html {
  const mebibytes = (octets: number) => (octets / 1024 / 1024).toFixed(1);
  const { lastReloadFailed, ageSeconds } = server.configuration;
  const rows: Cell[][] = [
    ['up for', ageText(server.uptimeSeconds)],
    ['listens on', server.listening.map(({ address }) => address).join(', ')],
    [
      'configuration',
      lastReloadFailed
        ? badge('bad', `reload refused, that of ${ageText(ageSeconds)} ago runs on`)
        : `${ageText(ageSeconds)} old`,
    ],
    ['cache', `${cache.entries} answers, ${mebibytes(cache.octets)} of ${mebibytes(cache.limitOctets)} MiB`],
    ['waiting', `${queries.pending} queries for an upstream`],
    [
      'state',
      state.failure === undefined
        ? `${state.directory}, generation ${state.generation}, saved ${agoText(state.savedAgeSeconds)}`
        : badge('bad', state.failure),
    ],
  ];
  return html`<table>${rows.map(([name = '', value = '']) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>`)}</table>
`;
}

type Cell = string | number | Html;

function table(head: readonly string[], rows: readonly (readonly Cell[])[]): Html {
  if (rows.length === 0) return html`<p>none</p>\n`;
  return html`<table><thead><tr>${head.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead><tbody>
${rows.map((row) => html`<tr>${row.map((cell) => html`<td>${cell}</td>`)}</tr>\n`)}</tbody></table>
`;
}

function list(sentences: readonly string[]): Html {
  if (sentences.length === 0) return html``;
  return html`<ul class="note">${sentences.map((sentence) => html`<li>${sentence}</li>`)}</ul>\n`;
}

/** A word in colour: the word says it all, for those who see none. */
function badge(tone: Tone, word: string): Html {
  return html`<span class="${tone}">${word}</span>`;
}

function agoText(seconds: number | undefined): string {
  return seconds === undefined ? 'never' : `${ageText(seconds)} ago`;
}

const STYLE = `
:root { color-scheme: light dark; --good: #0a7d33; --doubtful: #8a5a00; --bad: #c01c28; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --good: #5fd38a; --doubtful: #f0b429; --bad: #ff7b82; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; } small { font-weight: normal; opacity: .75; }
code { font: .95em ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; opacity: .75; }
th, td { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th, td:nth-child(-n+2) { white-space: nowrap; } td:last-child { overflow-wrap: anywhere; white-space: normal; }
@media (max-width: 40rem) { table { display: block; overflow-x: auto; } }
.addresses code { font-size: 1.15em; margin-right: .8em; } .dead { text-decoration: line-through; color: var(--bad); }
.good { color: var(--good); font-weight: 600; } .doubtful { color: var(--doubtful); font-weight: 600; } .bad, #silent { color: var(--bad); font-weight: 600; }
.note { color: var(--doubtful); overflow-wrap: anywhere; } footer { margin: 2rem 0; opacity: .75; }
`;

const SCRIPT = `
const shown = document.querySelector('main');
setInterval(async () => {
  let isSilent = true;
  try {
    const response = await fetch(location.pathname, { signal: AbortSignal.timeout(4000) });
    const next = new DOMParser().parseFromString(await response.text(), 'text/html');
    if (response.ok) {
      shown.replaceChildren(...next.querySelector('main').childNodes);
      document.title = next.title;
      isSilent = false;
    }
  } catch {}
  document.getElementById('silent').hidden = !isSilent;
}, ${EVERY_SECONDS * 1000});
`;

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/** What the page may load and run: its own style and script, and itself again. */
export const STATUS_PAGE_POLICY = [
  "default-src 'none'",
  `style-src ${hashOf(STYLE)}`,
  `script-src ${hashOf(SCRIPT)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');
