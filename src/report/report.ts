/**
 * Defines the one form in which a room reports its state: its part of `/status`, and the metrics and panels
 * from that part. The form knows no room and no reader. `/metrics`, `docs/metrics.md`, the page and `outpost-dns status` iterate it.
 *
 *     room -> its part of the status (JSON) -> metrics -> /metrics
 *                                           `-> panels  -> page, terminal
 */

/** A value and the values of its labels, in the order of `labels`. */
export type Sample = readonly [value: number, ...labels: string[]];

export interface Metric<Status> {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  /** One sentence. */
  readonly help: string;
  /** Bounded by the configuration or the code: never a client's address, never a name that a client asked for. */
  readonly labels: readonly string[];
  /** Samples that grow with the configuration come one by one. */
  readonly read: (status: Status) => Iterable<Sample>;
}

/** `Status`: the room's part of `/status`. */
export interface RoomReport<Status> {
  readonly metrics: readonly Metric<Status>[];
  /** The panels that a person sees of the room, from its part of the status alone. Panels that grow with the configuration come one by one. */
  readonly panels: (status: Status) => Iterable<Panel>;
}

export type Tone = 'plain' | 'good' | 'doubtful' | 'bad';

/** A text in a colour; the text alone says everything. */
export interface Toned {
  readonly text: string;
  readonly tone: Tone;
}

export type Cell = string | number | Toned | readonly (string | Toned)[];

/** A part of the status as a person reads it. A view draws it, and knows nothing of its content. */
export interface Panel {
  /** A panel without a title stands above all panels. Panels with the same title become one panel. */
  readonly title?: string;
  /** The condition of the whole, in a word. */
  readonly badge?: Toned;
  /** In small print beside the title. */
  readonly about?: string;
  /** Sentences that a person has to read first. */
  readonly notes?: readonly Cell[];
  readonly facts?: readonly (readonly [label: string, value: Cell])[];
  /** Titles of the columns; without them `rows` are not drawn. */
  readonly head?: readonly string[];
  readonly rows?: readonly (readonly Cell[])[];
  /** A line that counts the rows that the panel does not show. */
  readonly rest?: string;
  readonly plots?: readonly Plot[];
}

/** A figure over time. The terminal leaves panels with plots out. */
export interface Plot {
  readonly label: string;
  /** The stretch of time in words, and the words for its two ends. */
  readonly span: string;
  readonly ends: readonly [from: string, to: string];
  /** At equal distances, the newest last; null where there is no figure. */
  readonly points: readonly (number | null)[];
  /** The value at the top of the plot; the bottom is 0. */
  readonly top: number;
  readonly latest: string;
  /** The lowest and the highest, as text; empty without figures. */
  readonly range: string;
}

/** Writes the metrics of one room; `Status` is named once. */
export function metricsOf<Status>() {
  const metric =
    (type: Metric<Status>['type'], ending = '') =>
    (
      name: string,
      help: string,
      labels: readonly string[],
      read: Metric<Status>['read'],
    ): Metric<Status> => ({ name: `outpost_dns_${name}${ending}`, type, help, labels, read });
  return { gauge: metric('gauge'), counter: metric('counter', '_total') };
}

/** A sample without labels; none where the value is absent. */
export function single(value: number | boolean | undefined): readonly Sample[] {
  return value === undefined ? [] : [[Number(value)]];
}

/** Samples with one label over a record of counts. */
export function byLabel(counts: Readonly<Record<string, number>>): readonly Sample[] {
  return Object.entries(counts).map(([label, value]): Sample => [value, label]);
}

export function toned(tone: Tone, text: string): Toned {
  return { text, tone };
}

/** Whole milliseconds as seconds; a clock that was set back makes no negative age. */
export function seconds(ms: number): number {
  return Math.max(0, Math.round(ms) / 1000);
}

export function optionalSeconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : seconds(ms);
}

/** An age as a person reads it: one number and one unit (`3 s`, `4 min`, `2 h`, `5 d`). A unit changes when two of the next are full. */
export function ageText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.round(whole / 60)} min`;
  if (whole < 172_800) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86_400)} d`;
}

/** `1 warning`, `2 warnings`, `2 queries`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

export function agoText(seconds: number | undefined): string {
  return seconds === undefined ? 'never' : `${ageText(seconds)} ago`;
}

export function inText(seconds: number | undefined): string {
  return seconds === undefined ? '-' : `in ${ageText(seconds)}`;
}
