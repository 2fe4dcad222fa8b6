/**
 * Warns of later failures while there is time to act: credentials that an outage can outlast, and a source that stays silent
 * although others answer. It refuses to know whether the link is cut. Pure, except for the log's memory of its last lines.
 */
import type { Log } from '../log/log.ts';
import type { Ending } from '../records/observation.ts';
import { type SourceName, traitsOf } from '../records/sources.ts';
import { REFRESH_MESSAGES } from './refresh-messages.ts';
import type { SourcePoller } from './source-poller.ts';

const DAY_MS = 86_400_000;
/** An operator hears of an end 30, 7 and 1 days before it. */
export const END_WARNINGS_MS: readonly number[] = [DAY_MS, 7 * DAY_MS, 30 * DAY_MS];
/** A source that has missed this number of polls in a row is silent. */
const SILENT_INTERVALS = 10;
/** A source that is polled every few seconds is not silent sooner. */
const LEAST_SILENCE_MS = 15 * 60_000;

export interface Forewarnings {
  /** For each kind of credentials, the end that comes first. */
  readonly endings: readonly Ending[];
  readonly silent: readonly SilentSource[];
}

export interface SilentSource {
  readonly source: SourceName;
  readonly silentMs: number;
  /** The latest failure. */
  readonly detail: string;
}

/** The fields of a poller that count here. */
export type HeardSource = Pick<SourcePoller, 'name' | 'latest' | 'lastFailure' | 'endings' | 'heardAtMs'>;

export interface ForewarningParts {
  readonly pollers: readonly HeardSource[];
  readonly intervalMs: Readonly<Record<SourceName, number>>;
  /** Monotonic. */
  readonly nowMs: number;
}

export function forewarningsOf({ pollers, intervalMs, nowMs }: ForewarningParts): Forewarnings {
  const soonest = new Map<Ending['what'], Ending>();
  for (const ending of pollers.flatMap(({ endings }) => endings)) {
    const known = soonest.get(ending.what);
    if (known === undefined || ending.endsAtMs < known.endsAtMs) soonest.set(ending.what, ending);
  }
  const isCut = pollers.filter(({ name }) => traitsOf(name).crossesLink).every(isUnreachable);
  const silent = pollers.flatMap(({ name: source, latest, lastFailure, heardAtMs }): SilentSource[] => {
    const silentMs = nowMs - heardAtMs;
    if (latest !== 'failed' || silentMs < Math.max(LEAST_SILENCE_MS, SILENT_INTERVALS * intervalMs[source]))
      return [];
    // a cut has its own warning, and ends by itself
    if (isCut && traitsOf(source).crossesLink) return [];
    return [{ source, silentMs, detail: lastFailure?.detail ?? '' }];
  });
  return { endings: [...soonest.values()], silent };
}

function isUnreachable({ latest, lastFailure }: HeardSource): boolean {
  return latest === 'failed' && (lastFailure?.reason === 'timeout' || lastFailure?.reason === 'network');
}

/** The limit of `END_WARNINGS_MS` that has passed; undefined for an end that is far away, or that a provider renews. */
export function passedLimitMs({ endsAtMs, isRenewed }: Ending, wallMs: number): number | undefined {
  return isRenewed ? undefined : END_WARNINGS_MS.find((limitMs) => endsAtMs - wallMs <= limitMs);
}

const ENDING_TEXT: Readonly<Record<Ending['what'], string>> = {
  'kubernetes-certificate': 'the client certificate for the API servers',
  'roles-anywhere-certificate': 'the certificate of IAM Roles Anywhere',
  session: 'the session of the AWS credentials',
};

/** Sentences for a person. */
export function forewarningTexts({ endings, silent }: Forewarnings, wallMs: number): readonly string[] {
  const ends = endings.flatMap((ending) => {
    if (passedLimitMs(ending, wallMs) === undefined) return [];
    const { what, endsAtMs } = ending;
    const when = new Date(endsAtMs).toISOString().slice(0, 16).replace('T', ' ');
    return endsAtMs <= wallMs
      ? [`${ENDING_TEXT[what]} ended at ${when} UTC: renew it`]
      : [`${ENDING_TEXT[what]} ends at ${when} UTC: renew it now, because an outage can outlast it`];
  });
  const silences = silent.map(({ source, silentMs, detail }) => {
    const minutes = Math.floor(silentMs / 60_000);
    const since = minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
    return `the source ${source} has given no answer for ${since}, while others answer: ${detail}`;
  });
  return [...ends, ...silences];
}

/** Logs an end once for each limit that it passes, and a silence once. */
export class ForewarningLog {
  readonly #log: Log;
  readonly #passed = new Map<Ending['what'], string>();
  #silent: ReadonlySet<SourceName> = new Set();

  constructor(log: Log) {
    this.#log = log;
  }

  note({ endings, silent }: Forewarnings, wallMs: number): void {
    for (const ending of endings) this.#ending(ending, wallMs);
    for (const { source, silentMs, detail } of silent) {
      if (this.#silent.has(source)) continue;
      REFRESH_MESSAGES.sourceSilent(this.#log, { source, minutes: Math.floor(silentMs / 60_000), detail });
    }
    this.#silent = new Set(silent.map(({ source }) => source));
  }

  #ending(ending: Ending, wallMs: number): void {
    const { what, endsAtMs } = ending;
    const limitMs = passedLimitMs(ending, wallMs);
    const hasEnded = endsAtMs <= wallMs;
    const passed = limitMs === undefined ? '' : `${endsAtMs} ${hasEnded ? 'ended' : limitMs}`;
    if (passed === (this.#passed.get(what) ?? '')) return;
    this.#passed.set(what, passed);
    if (limitMs === undefined) return;
    const endsAt = new Date(endsAtMs).toISOString();
    const days = Math.max(0, Math.floor((endsAtMs - wallMs) / DAY_MS));
    const message = hasEnded ? REFRESH_MESSAGES.credentialsEnded : REFRESH_MESSAGES.credentialsEnd;
    message(this.#log, { what, endsAt, days });
  }
}
