/**
 * Draws the status as a page for a browser, from the panels that the rooms report; knows nothing of their content. The page is
 * one document with its style and a few lines of script. It loads nothing else, so it works on a site that is cut off. Without
 * script the page loads itself again. With script, only the panels change, and the page says when the server has gone silent.
 */
import type { Cell, Panel, Plot, Tone, Toned } from '../report/report.ts';
import { sha256Base64 } from '../runtime/checksum.ts';

const EVERY_SECONDS = 5;

/** A line of the timeline. */
export interface TimelineEvent {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly kind: string;
  readonly text: string;
  readonly tone: Tone;
}

/** A row or a fact a text, because there may be thousands. The first panel has no title: it says whether the server is ready. */
export function* statusPageTexts(
  panels: readonly Panel[],
  events: readonly TimelineEvent[] = [],
): Iterable<string> {
  const [head = {}, ...others] = panels;
  const title = head.badge?.tone === 'good' ? 'outpost-dns' : 'outpost-dns: not ready';
  yield html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<noscript><meta http-equiv="refresh" content="${EVERY_SECONDS}"></noscript>
<style>${new Html(STYLE)}</style>
<header><p id="silent" role="alert" hidden></p></header>
<main>
<div id="panels">
<h1>outpost-dns ${badge(head)}</h1>
`.text;
  yield* body(head, 'outpost-dns');
  for (const panel of others) yield* section(panel);
  yield '</div>\n';
  yield* timeline(events);
  yield html`</main>
<footer><a href="/status">JSON</a> · <a href="/panels">panels</a> · <a href="/metrics">metrics</a> · <a href="/readyz">ready?</a> · <a href="/healthz">healthy?</a></footer>
<script>${new Html(SCRIPT)}</script>
</html>
`.text;
}

function* section(panel: Panel): Iterable<string> {
  yield html`<section><h2>${panel.title ?? ''} ${badge(panel)}</h2>\n`.text;
  yield* body(panel, panel.title ?? '');
  yield '</section>\n';
}

function badge({ badge, about }: Panel): Html {
  return html`${badge === undefined ? '' : cell(badge)}${about === undefined ? '' : html` <small>${about}</small>`}`;
}

function* body(
  { notes = [], facts = [], head, rows = [], rest, plots = [] }: Panel,
  name: string,
): Iterable<string> {
  if (notes.length > 0) yield html`<ul>${notes.map((note) => html`<li>${cell(note)}</li>`)}</ul>\n`.text;
  if (facts.length > 0) yield* factTable(facts);
  if (head !== undefined) yield* rowTable(head, rows, name);
  if (plots.length > 0) yield '<div class="plots">\n';
  for (const plot of plots) yield figure(plot).text;
  if (plots.length > 0) yield '</div>\n';
  if (rest !== undefined) yield html`<p>${rest}</p>\n`.text;
}

function* factTable(facts: NonNullable<Panel['facts']>): Iterable<string> {
  yield '<table class="facts">';
  for (const [label, value] of facts) {
    yield html`<tr><th scope="row">${label}</th><td>${cell(value)}</td></tr>\n`.text;
  }
  yield '</table>\n';
}

function* rowTable(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  name: string,
): Iterable<string> {
  if (rows.length === 0) {
    yield '<p>none</p>\n';
    return;
  }
  const titles = head.map((title) => html`<th scope="col">${title}</th>`);
  yield html`<div class="scroll" role="region" tabindex="0" aria-label="${name}: table"><table><thead><tr>${titles}</tr></thead><tbody>\n`
    .text;
  for (const row of rows) yield html`<tr>${row.map((one) => html`<td>${cell(one)}</td>`)}</tr>\n`.text;
  yield '</tbody></table></div>\n';
}

function cell(value: Cell): Html {
  if (typeof value === 'string' || typeof value === 'number') return html`${value}`;
  return 'text' in value
    ? word(value)
    : html`${value.map((one, at) => html`${at === 0 ? '' : ', '}${cell(one)}`)}`;
}

/** A word in colour: the word says everything, for readers who see no colour. */
function word({ text, tone }: Toned): Html {
  return tone === 'plain' ? html`${text}` : html`<span class="${tone}">${text}</span>`;
}

/** The newest first. Without script the whole list is shown. */
function* timeline(events: readonly TimelineEvent[]): Iterable<string> {
  const kinds = [...new Set(events.map(({ kind }) => kind))].sort();
  yield html`<section><h2>Timeline <small>outages and changes, the newest first; all of it: outpost-dns history</small></h2>
<form id="filter" hidden><label>kind <select name="kind"><option value="">all</option>${kinds.map((kind) => html`<option>${kind}</option>`)}</select></label>
<label>words <input type="search" name="words"></label> <output id="count"></output></form>
<ol id="events" tabindex="0" aria-label="timeline">
`.text;
  for (const { at, kind, text, tone } of events) {
    yield html`<li class="${tone}" data-kind="${kind}"><time datetime="${at}">${at.slice(0, 19).replace('T', ' ')} UTC</time> <b>${kind}</b> ${text}</li>\n`
      .text;
  }
  yield events.length === 0 ? '<li>nothing has happened yet</li>\n</ol></section>\n' : '</ol></section>\n';
}

// Figures over time, drawn as SVG. A reader who sees no picture gets the same in words.

const WIDTH = 300;
const HEIGHT = 48;
/** A line at the very edge would be cut in half. */
const MARGIN = 2;

export function figure({ label, span, ends, points, top, latest, range }: Plot): Html {
  const text = range === '' ? latest : `${latest} now; ${range}`;
  return html`<figure><figcaption>${label}: <b>${latest}</b></figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${`${label}, ${span}: ${text}`}">${drawn(points, top)}</svg>
<p><span>${ends[0]}</span><span>${range}</span><span>${ends[1]}</span></p></figure>
`;
}

/** One line and one area for each stretch without a gap. */
function drawn(points: Plot['points'], top: number): readonly Html[] {
  return stretches(points).map((stretch) => {
    const corners = stretch.map(([at, value]) => `${x(at, points.length)},${y(value, top)}`);
    const [first = [0, 0]] = stretch;
    const last = stretch.at(-1) ?? first;
    // a single figure between two gaps is a short line, and visible at either edge
    const single = [-1, 1].map((way) => `${x(first[0], points.length) + way * MARGIN},${y(first[1], top)}`);
    const line = (corners.length > 1 ? corners : single).join(' ');
    const area = `${x(first[0], points.length)},${HEIGHT} ${corners.join(' ')} ${x(last[0], points.length)},${HEIGHT}`;
    return new Html(`<polygon class="area" points="${area}"/><polyline class="stroke" points="${line}"/>`);
  });
}

type Corner = readonly [at: number, value: number];

function stretches(points: Plot['points']): readonly (readonly Corner[])[] {
  const found: Corner[][] = [];
  let isGap = true;
  points.forEach((value, at) => {
    if (value === null) {
      isGap = true;
      return;
    }
    if (isGap) found.push([]);
    isGap = false;
    found.at(-1)?.push([at, value]);
  });
  return found;
}

function x(at: number, count: number): number {
  return tenth((at / Math.max(1, count - 1)) * WIDTH);
}

function y(value: number, top: number): number {
  const share = top > 0 ? Math.min(1, Math.max(0, value / top)) : 0;
  return tenth(HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN));
}

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}

// HTML and SVG: a value in markup is escaped unless it is markup itself.

/** Markup. Values in it cannot become markup: names and error texts come from the network. */
class Html {
  readonly text: string;

  /** `text` is markup already: made by `html`, or a constant. */
  constructor(text: string) {
    this.text = text;
  }
}

type Value = string | number | Html | readonly Html[];

/** Markup with values in it: text is escaped, markup and lists of it are taken as they are. */
function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  return new Html(parts.reduce((text, part, at) => text + textOf(values[at - 1] ?? '') + part));
}

function textOf(value: Value): string {
  if (value instanceof Html) return value.text;
  if (typeof value === 'string' || typeof value === 'number') return escaped(String(value));
  return value.map(({ text }) => text).join('');
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

// controls and direction marks too: a name must not rearrange the line that it stands in
function escaped(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, ' ').replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '');
}

// The style and the script of the page: constants, so that a hash in the page's policy allows them and nothing else.

const STYLE = `
:root { color-scheme: light dark; --text: #1b1d21; --faint: #565b63; --back: #fff; --good: #0a6d2d; --doubtful: #7d5200; --bad: #b3131f; --line: #8884; --plot: #2563b0; --fill: #2563b022; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e8ec; --faint: #a8aeb8; --back: #15171a; --good: #5fd38a; --doubtful: #f0b429; --bad: #ff7b82; --plot: #7db4ff; --fill: #7db4ff22; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 1.5rem auto; padding: 0 1rem; color: var(--text); background: var(--back); }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; overflow-wrap: anywhere; } small { font-weight: normal; color: var(--faint); }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; color: var(--faint); }
th, td { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th, td:nth-child(-n+3) { white-space: nowrap; } td:last-child { overflow-wrap: anywhere; white-space: normal; } .facts th { width: 8rem; }
.scroll { overflow-x: auto; } @media (max-width: 40rem) { .facts th { white-space: normal; overflow-wrap: anywhere; } .scroll td:last-child { min-width: 12rem; } } :focus-visible { outline: 2px solid var(--plot); outline-offset: 2px; }
.good { color: var(--good); font-weight: 600; } .doubtful { color: var(--doubtful); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
li { overflow-wrap: anywhere; } footer { margin: 2rem 0; color: var(--faint); } a { color: var(--plot); }
#silent { position: sticky; top: 0; z-index: 1; margin: 0; padding: .5rem .8rem; background: var(--bad); color: var(--back); font-weight: 600; }
.old main { opacity: .55; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .8rem 1.4rem; }
figure { margin: 0; display: flex; flex-direction: column; justify-content: space-between; } figcaption { font-size: .9rem; } figcaption b { font-weight: 600; } figure p { display: flex; justify-content: space-between; margin: 0; font-size: .8rem; color: var(--faint); }
svg { display: block; width: 100%; height: 3.2rem; border-bottom: 1px solid var(--line); } .stroke { fill: none; stroke: var(--plot); stroke-width: 1.5; vector-effect: non-scaling-stroke; } .area { fill: var(--fill); }
#filter { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin: .4rem 0; } #filter[hidden] { display: none; } select, input { font: inherit; color: inherit; background: var(--back); border: 1px solid var(--faint); border-radius: 4px; padding: .15rem .4rem; max-width: 100%; }
#events { max-height: 22rem; overflow-y: auto; border: 1px solid var(--line); padding: .4rem .6rem; list-style: none; margin: 0; }
#events li { padding: .15rem 0 .15rem .7rem; border-left: 3px solid var(--line); } #events li.good { border-color: var(--good); font-weight: normal; color: inherit; } #events li.doubtful { border-color: var(--doubtful); font-weight: normal; color: inherit; } #events li.bad { border-color: var(--bad); font-weight: normal; color: inherit; }
#events time { font-variant-numeric: tabular-nums; color: var(--faint); margin-right: .6rem; white-space: nowrap; } #events b { font-weight: 600; margin-right: .4rem; }
`;

/** Ticks come every few seconds. After this time without a tick the page says that the connection is lost. */
const SILENT_MS = 15_000;

const SCRIPT = `
const mark = document.getElementById('silent');
const filter = document.getElementById('filter');
let shownAt = new Date();
let heardAt = Date.now();
let isAsking = false;
let source;
filter.hidden = false;
function show() {
  const kind = filter.elements.kind.value;
  const words = filter.elements.words.value.toLowerCase();
  let count = 0;
  for (const item of document.querySelectorAll('#events li[data-kind]')) {
    item.hidden = (kind !== '' && item.dataset.kind !== kind) || !item.textContent.toLowerCase().includes(words);
    if (!item.hidden) count += 1;
  }
  document.getElementById('count').textContent = count + (count === 1 ? ' event' : ' events');
  for (const time of document.querySelectorAll('#events time')) {
    time.textContent = new Date(time.dateTime).toLocaleString();
  }
}
filter.addEventListener('input', show);
filter.addEventListener('submit', (event) => event.preventDefault());
function connected(isConnected) {
  document.body.classList.toggle('old', !isConnected);
  if (!isConnected && mark.hidden) mark.textContent = 'Connection lost. The data below is of ' + shownAt.toLocaleTimeString() + '.';
  mark.hidden = isConnected;
}
function place(id, next) {
  const before = document.getElementById(id);
  if (before === null || before.innerHTML === next.innerHTML) return;
  const scrolls = [...before.querySelectorAll('.scroll')].map((one) => one.scrollLeft);
  const focused = [...before.querySelectorAll('.scroll')].indexOf(document.activeElement);
  const top = before.scrollTop;
  before.replaceChildren(...next.childNodes);
  before.scrollTop = top;
  before.querySelectorAll('.scroll').forEach((one, at) => {
    one.scrollLeft = scrolls[at] ?? 0;
    if (at === focused) one.focus({ preventScroll: true });
  });
}
async function refresh() {
  if (isAsking) return;
  isAsking = true;
  try {
    const response = await fetch(location.pathname, { signal: AbortSignal.timeout(10000) });
    if (!response.ok) throw new Error('not the page');
    const next = new DOMParser().parseFromString(await response.text(), 'text/html');
    place('panels', next.getElementById('panels'));
    place('events', next.getElementById('events'));
    document.title = next.title;
    shownAt = new Date();
    heardAt = Date.now();
    show();
    connected(true);
  } catch {
    connected(false);
  }
  isAsking = false;
}
function listen() {
  source = new EventSource('/live');
  source.onmessage = refresh;
  source.onerror = () => connected(false);
}
setInterval(() => {
  if (Date.now() - heardAt > ${SILENT_MS}) connected(false);
  if (source.readyState === EventSource.CLOSED) listen();
}, 2000);
show();
listen();
`;

function hashOf(text: string): string {
  return `'sha256-${sha256Base64(text)}'`;
}

/** Allows the page to load and run its own style and script, and to load itself again. */
export const STATUS_PAGE_POLICY = [
  "default-src 'none'",
  `style-src ${hashOf(STYLE)}`,
  `script-src ${hashOf(SCRIPT)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');
