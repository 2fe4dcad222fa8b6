/** The style and the script of the page: constants, so that a hash in the page's policy allows them and nothing else. */
import { createHash } from 'node:crypto';

export const STYLE = `
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

export const SCRIPT = `
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
