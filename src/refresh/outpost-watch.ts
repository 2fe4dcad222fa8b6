/**
 * Asks AWS every few minutes whether it sees the Outposts of the clusters as connected, while their Region can be reached. The
 * permission is optional: without it nothing else suffers. It refuses to know what this server itself thinks of the
 * link. Its report stands at the end.
 */
import type { OutpostRequest, OutpostView } from '../far-side/poll.ts';
import type { Log } from '../log/log.ts';
import { agoText, metricsOf, optionalSeconds, type RoomReport, toned } from '../report/report.ts';
import { inBackground } from '../runtime/background.ts';
import { type Clock, InnerAbort, type Timers } from '../runtime/clock.ts';
import { jitter, type Random } from '../runtime/random.ts';
import { REFRESH_MESSAGES } from './refresh-messages.ts';

/** Never rejects. */
export type AskOutpost = (request: OutpostRequest, signal: AbortSignal) => Promise<OutpostView>;

interface OutpostWatchOptions {
  readonly ask: AskOutpost;
  /** The Outposts of the configured clusters, as DescribeCluster names them, in Regions that can be reached. */
  readonly outposts: () => readonly OutpostRequest[];
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

interface OutpostSnapshot {
  readonly outpost: string;
  readonly region: string;
  readonly view: OutpostView;
  /** When AWS last gave a value, monotonic. */
  readonly seenAtMs: number | undefined;
}

const EVERY_MS = 300_000;
/** The details of a cluster come a moment after the start. */
const FIRST_MS = 30_000;
/** A permission that is missing comes with a change of a policy: it is asked for seldom. */
const DENIED_MS = 6 * 3_600_000;
const DEADLINE_MS = 20_000;
const JITTER = 0.2;
/** AWS says impaired for any value below 1. */
const WHOLE = 1;

interface Watched extends OutpostSnapshot {
  readonly againAtMs: number;
}

export class OutpostWatch {
  readonly #options: OutpostWatchOptions;
  readonly #watched = new Map<string, Watched>();
  #timer: Disposable | undefined;
  #abort = new AbortController();

  constructor(options: OutpostWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#later(FIRST_MS);
  }

  stop(): void {
    this.#timer?.[Symbol.dispose]();
    this.#abort.abort();
  }

  snapshot(): readonly OutpostSnapshot[] {
    return [...this.#watched.values()];
  }

  #later(delayMs: number): void {
    const { timers, random } = this.#options;
    this.#timer = timers.after(delayMs * jitter(random, JITTER), () => {
      inBackground('link', () => this.#askAll()).finally(() => {
        if (!this.#abort.signal.aborted) this.#later(EVERY_MS);
      });
    });
  }

  /** Asks about one Outpost after the other, because nothing waits for the answers. */
  async #askAll(): Promise<void> {
    const wanted = new Map(this.#options.outposts().map((one) => [keyOf(one), one]));
    for (const [key, request] of wanted) {
      const before = this.#watched.get(key);
      if (before !== undefined && before.againAtMs > this.#options.clock.monotonicMs()) continue;
      const view = await this.#ask(request);
      if (this.#abort.signal.aborted) return;
      this.#note(key, request, view, before);
    }
  }

  async #ask(request: OutpostRequest): Promise<OutpostView> {
    using enough = new InnerAbort(this.#abort.signal);
    using _limit = this.#options.timers.after(DEADLINE_MS, () => enough.abort());
    return await this.#options.ask(request, enough.signal);
  }

  #note(key: string, request: OutpostRequest, view: OutpostView, before: Watched | undefined): void {
    const nowMs = this.#options.clock.monotonicMs();
    const isDenied = view.kind === 'failed' && view.reason === 'denied';
    const watched: Watched = {
      outpost: request.outpost,
      region: request.place.region,
      // a failure takes nothing away: its age says how old the value is
      view: view.kind === 'failed' && before?.view.kind === 'seen' ? before.view : view,
      seenAtMs: view.kind === 'seen' ? nowMs : before?.seenAtMs,
      againAtMs: isDenied ? nowMs + DENIED_MS : nowMs,
    };
    this.#watched.set(key, watched);
    this.#tell(watched, before, view);
  }

  /** Each condition once. */
  #tell({ outpost, region }: Watched, before: Watched | undefined, view: OutpostView): void {
    const { log } = this.#options;
    const was = before?.view;
    if (view.kind === 'failed') {
      const isNew = was?.kind !== 'failed' || was.reason !== view.reason;
      if (view.reason === 'denied' && isNew) {
        REFRESH_MESSAGES.outpostDenied(log, { outpost, region, detail: view.detail });
      }
      return;
    }
    const isWhole = isConnected(view);
    const wasWhole = was === undefined ? undefined : isConnected(was);
    if (isWhole === wasWhole || isWhole === undefined) return;
    if (isWhole && wasWhole === undefined) return; // a start
    const connected = view.kind === 'seen' ? view.connected : undefined;
    const message = isWhole ? REFRESH_MESSAGES.outpostConnected : REFRESH_MESSAGES.outpostImpaired;
    message(log, { outpost, region, connected });
  }
}

/** undefined: AWS has not said. */
function isConnected(view: OutpostView): boolean | undefined {
  return view.kind === 'seen' ? view.connected >= WHOLE : undefined;
}

function keyOf({ place, outpost }: OutpostRequest): string {
  return `${place.region} ${outpost}`;
}

interface OutpostsStatus {
  /** What AWS says of each Outpost (`ConnectedStatus`); empty where AWS names none, or before the first answer. */
  readonly outposts: readonly OutpostStatus[];
}

interface OutpostStatus {
  readonly outpost: string;
  readonly region: string;
  readonly view: 'connected' | 'impaired' | 'no-data' | 'not-allowed' | 'failed';
  /** The share of a minute, from 0 to 1. */
  readonly connected?: number;
  /** The time since AWS last gave a value. */
  readonly ageSeconds?: number;
  readonly detail?: string;
}

export function outpostsStatus(outposts: readonly OutpostSnapshot[], nowMs: number): OutpostsStatus {
  return {
    outposts: outposts.map(({ outpost, region, view, seenAtMs }) => ({
      outpost,
      region,
      view: wordOf(view),
      connected: view.kind === 'seen' ? view.connected : undefined,
      ageSeconds: optionalSeconds(seenAtMs === undefined ? undefined : nowMs - seenAtMs),
      detail: view.kind === 'failed' ? view.detail : undefined,
    })),
  };
}

function wordOf(view: OutpostSnapshot['view']): OutpostStatus['view'] {
  if (view.kind === 'failed') return view.reason === 'denied' ? 'not-allowed' : 'failed';
  if (view.kind === 'no-data') return 'no-data';
  return isConnected(view) ? 'connected' : 'impaired';
}

const { gauge } = metricsOf<OutpostsStatus>();

const TONES = {
  connected: 'good',
  impaired: 'bad',
  'no-data': 'plain',
  'not-allowed': 'plain',
  failed: 'doubtful',
} as const;

export const OUTPOST_REPORT: RoomReport<OutpostsStatus> = {
  metrics: [
    gauge(
      'outpost_connected',
      'What AWS says of the Outpost (ConnectedStatus of CloudWatch), from 0 to 1; absent without a value, such as without the permission.',
      ['outpost', 'region'],
      ({ outposts }) =>
        outposts.flatMap(({ outpost, region, connected }) =>
          connected === undefined ? [] : [[connected, outpost, region] as const],
        ),
    ),
    gauge(
      'outpost_connected_age_seconds',
      'Seconds since AWS last gave that value: in a cut it grows.',
      ['outpost', 'region'],
      ({ outposts }) =>
        outposts.flatMap(({ outpost, region, ageSeconds }) =>
          ageSeconds === undefined ? [] : [[ageSeconds, outpost, region] as const],
        ),
    ),
  ],
  panels: ({ outposts }) =>
    outposts.length === 0
      ? []
      : [
          {
            title: 'Link',
            facts: outposts.map(({ outpost, region, view, ageSeconds, detail }) => [
              `aws sees ${outpost}`,
              toned(
                TONES[view],
                `${view}, ${region}, ${agoText(ageSeconds)}${detail === undefined ? '' : `: ${detail}`}`,
              ),
            ]),
          },
        ],
};
