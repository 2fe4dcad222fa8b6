/** Writes an event of the ledger as a sentence, for the command `history` and for the timeline of the page. */
import { ageText, plural, type Tone } from '../report/report.ts';
import type { LedgerEvent } from './ledger-format.ts';
import type { ReadEntry } from './ledger-reader.ts';

/** An event as a person reads it. */
export interface Sentence {
  readonly text: string;
  readonly tone?: Tone;
}

function sentenceOf(event: LedgerEvent): Sentence {
  switch (event.kind) {
    case 'start':
      return {
        text: `server ${event.version} started on ${event.runtime}, knowing ${plural(event.endpoints, 'endpoint')}`,
      };
    case 'stop':
      return { text: `server stopped: ${event.reason}` };
    case 'reload':
      return reloadSentence(event);
    case 'link':
      return linkSentence(event);
    case 'addresses':
      return { text: addressesText(event), tone: event.before.length > 0 ? 'doubtful' : 'good' };
    case 'endpoint': {
      const before = event.from === undefined ? '' : `, before ${event.from}`;
      return { text: `${place(event)}: the endpoint is ${event.to}${before}` };
    }
    case 'held':
      return heldSentence(event);
    case 'withheld':
      return withheldSentence(event);
    case 'drill':
      return { text: drillText(event) };
    case 'pin':
      return { text: pinText(event), tone: event.phase === 'started' ? 'doubtful' : 'good' };
    case 'flush': {
      const names = event.below ? `${event.name} and all names under it` : event.name;
      const count = plural(event.answers, 'kept answer');
      return { text: `${names}: ${count} dropped by ${event.flushedBy}`, tone: 'doubtful' };
    }
    case 'set-aside': {
      const where = event.to === undefined ? 'left in its place' : `set aside as "${event.to}"`;
      return {
        text: `"${event.path}" could not be used (${event.reason}: ${event.detail}), ${where}`,
        tone: 'bad',
      };
    }
  }
}

type EventOf<Kind extends LedgerEvent['kind']> = Extract<LedgerEvent, { kind: Kind }>;

function reloadSentence({ outcome, faults = [] }: EventOf<'reload'>): Sentence {
  if (outcome === 'taken') return { text: 'configuration reloaded' };
  const why = faults.length === 0 ? '' : `: ${faults.join('; ')}`;
  return { text: `reload refused, the configuration from before runs on${why}`, tone: 'doubtful' };
}

const LINK_TONES: Readonly<Record<string, Tone>> = {
  connected: 'good',
  degraded: 'doubtful',
  recovering: 'doubtful',
  disconnected: 'bad',
};

function linkSentence({ side, key, from, to, reason, lastedMs, flickers }: EventOf<'link'>): Sentence {
  const path = side === 'summary' ? 'link' : `${side} ${key}`;
  const lasted = lastedMs === undefined ? '' : ` after ${ageText(lastedMs / 1000)}`;
  const unsteady = flickers === undefined ? '' : `, ${flickers} short changes in between`;
  const tone = LINK_TONES[to];
  return {
    text: `${path}: ${from} -> ${to}${lasted}${unsteady}: ${reason}`,
    tone,
  };
}

function addressesText(event: EventOf<'addresses'>): string {
  const { before, after, basis, seen } = event;
  const change =
    before.length === 0
      ? `learned ${list(after)}`
      : `${list(before)} -> ${after.length === 0 ? 'none' : list(after)}`;
  const sources = Object.entries(seen).map(([source, addresses]) => `${source} saw ${list(addresses)}`);
  return `${place(event)}: ${change} (by ${[basis, ...sources].join('; ')})`;
}

const HELD_TEXTS: Readonly<Record<EventOf<'held'>['outcome'], string>> = {
  held: 'held back',
  adopted: 'seen again and adopted',
  dropped: 'not seen again and dropped',
};

function heldSentence(event: EventOf<'held'>): Sentence {
  const text = `${place(event)}: change to ${list(event.addresses)} ${HELD_TEXTS[event.outcome]}: ${event.reason}`;
  return event.outcome === 'held' ? { text, tone: 'doubtful' } : { text };
}

function withheldSentence(event: EventOf<'withheld'>): Sentence {
  const { address, phase, reason, unwritten } = event;
  const why = reason === undefined ? '' : `: ${reason}`;
  const what = phase === 'left' ? `left the answers${why}` : 'came into the answers';
  const more = unwritten === undefined ? '' : ` (after ${plural(unwritten, 'change')} without a line)`;
  return { text: `${place(event)}: ${address} ${what}${more}`, tone: phase === 'left' ? 'bad' : 'good' };
}

const DRILL_ENDINGS: Readonly<Record<Extract<EventOf<'drill'>, { phase: 'ended' }>['by'], string>> = {
  time: 'by itself',
  command: 'by a command',
  shutdown: 'because the server stopped',
};

function drillText(event: EventOf<'drill'>): string {
  if (event.phase === 'started') return `drill started, for ${ageText(event.forMs / 1000)}`;
  const { by, ranMs, failed, stale, endpointAnswers } = event;
  const counts = `${failed} queries failed, ${stale} answered stale, ${endpointAnswers} endpoint answers`;
  return `drill ended ${DRILL_ENDINGS[by]} after ${ageText(ranMs / 1000)}: ${counts}`;
}

function pinText(event: EventOf<'pin'>): string {
  const pin = `${place(event)}: pin to ${list(event.addresses)}`;
  if (event.phase === 'ended') {
    const how = event.by === 'time' ? 'by itself' : 'by a command';
    return `${pin} ended ${how} after ${ageText(event.ranMs / 1000)}`;
  }
  return `${pin} started for ${ageText(event.forMs / 1000)} by ${event.pinnedBy}: ${event.why}`;
}

function place({
  cluster,
  region,
}: {
  readonly cluster: string;
  readonly region?: string | undefined;
}): string {
  return region === undefined ? cluster : `${cluster} (${region})`;
}

function list(addresses: readonly string[]): string {
  return addresses.join(', ');
}

/** A line of the ledger: its sentence, or its fields where this version does not know the kind. */
export function sentenceOfEntry({ event, line }: ReadEntry): Sentence {
  return event === undefined ? { text: rawText(line) } : sentenceOf(event);
}

/** An event of a kind that this version does not know. */
function rawText(line: ReadEntry['line']): string {
  const { sequence: _, at: __, kind: ___, lost: ____, ...rest } = line;
  return JSON.stringify(rest);
}
