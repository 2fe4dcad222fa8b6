/**
 * Draws the status as a page for a browser, from the panels that the rooms report; knows nothing of their content. The page is
 * one document with its style and a few lines of script. It loads nothing else, so it works on a site that is cut off. Without
 * script the page loads itself again. With script, only the panels change, and the page says when the server has gone silent.
 */
import { createHash } from 'node:crypto';
import type { Cell, Panel, Toned } from '../report/report.ts';

const EVERY_SECONDS = 5;

/** A row or a fact a text, because there may be thousands. The first panel has no title: it says whether the server is ready. */
export function* statusTexts(panels: readonly Panel[]): Iterable<string> {
  const [head = {}, ...others] = panels;
  const title = head.badge?.tone === 'good' ? 'outpost-dns' : 'outpost-dns: not ready';
  yield html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<noscript><meta http-equiv="refresh" content="${EVERY_SECONDS}"></noscript>
<style>${new Html(STYLE)}</style>
<p id="silent" role="alert" hidden>This server no longer answers: the data below is old.</p>
<main>
<h1>outpost-dns ${badge(head)}</h1>
`.text;
  yield* body(head);
  for (const panel of others) yield* section(panel);
  yield html`</main>
<footer><a href="/status">JSON</a> · <a href="/panels">panels</a> · <a href="/metrics">metrics</a> · <a href="/readyz">ready?</a> · <a href="/healthz">healthy?</a></footer>
<script>${new Html(SCRIPT)}</script>
</html>
`.text;
}

function* section(panel: Panel): Iterable<string> {
  yield html`<section><h2>${panel.title ?? ''} ${badge(panel)}</h2>\n`.text;
  yield* body(panel);
  yield '</section>\n';
}

function badge({ badge, about }: Panel): Html {
  return html`${badge === undefined ? '' : cell(badge)}${about === undefined ? '' : html` <small>${about}</small>`}`;
}

function* body({ notes = [], facts = [], head, rows = [], rest }: Panel): Iterable<string> {
  if (notes.length > 0) yield html`<ul>${notes.map((note) => html`<li>${cell(note)}</li>`)}</ul>\n`.text;
  if (facts.length > 0) yield* factTable(facts);
  if (head !== undefined) yield* rowTable(head, rows);
  if (rest !== undefined) yield html`<p>${rest}</p>\n`.text;
}

function* factTable(facts: NonNullable<Panel['facts']>): Iterable<string> {
  yield '<table class="facts">';
  for (const [label, value] of facts) {
    yield html`<tr><th scope="row">${label}</th><td>${cell(value)}</td></tr>\n`.text;
  }
  yield '</table>\n';
}

function* rowTable(head: readonly string[], rows: readonly (readonly Cell[])[]): Iterable<string> {
  if (rows.length === 0) {
    yield '<p>none</p>\n';
    return;
  }
  const titles = head.map((title) => html`<th scope="col">${title}</th>`);
  yield html`<table><thead><tr>${titles}</tr></thead><tbody>\n`.text;
  for (const row of rows) yield html`<tr>${row.map((one) => html`<td>${cell(one)}</td>`)}</tr>\n`.text;
  yield '</tbody></table>\n';
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

const STYLE = `
:root { color-scheme: light dark; --good: #0a7d33; --doubtful: #8a5a00; --bad: #c01c28; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --good: #5fd38a; --doubtful: #f0b429; --bad: #ff7b82; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; } small { font-weight: normal; opacity: .75; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; opacity: .75; }
th, td { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th, td:nth-child(-n+2) { white-space: nowrap; } td:last-child { overflow-wrap: anywhere; white-space: normal; } .facts th { width: 8rem; } h2 { overflow-wrap: anywhere; }
@media (max-width: 40rem) { table { display: block; overflow-x: auto; } }
.good { color: var(--good); font-weight: 600; } .doubtful { color: var(--doubtful); font-weight: 600; } .bad, #silent { color: var(--bad); font-weight: 600; }
li { overflow-wrap: anywhere; } footer { margin: 2rem 0; opacity: .75; }
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
