/** Draws figures over time as SVG. A reader who sees no picture gets the same in words. */
import type { Plot } from '../report/report.ts';
import { Html, html } from './markup.ts';

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
