/** How the server reports its queries: the counts of the listeners and of the resolver, as status, metrics and panels. */
import {
  agoText,
  byLabel,
  metricsOf,
  plural,
  type RoomReport,
  seconds,
  single,
  toned,
} from '../../report/report.ts';
import type { ResolverCounters } from '../turn.ts';
import { COUNT, COUNT_MEANINGS, type CountMeaning, type ListenerCounters, SEND_ERRORS } from './intake.ts';

type Counts = Readonly<Record<string, number>>;

export interface QueriesStatus {
  readonly queries: Readonly<Record<CountMeaning['metric'], Counts>> & {
    /** By the step of the resolver that answered. */
    readonly answers: Counts;
    readonly rcodes: Counts;
    /** Queries that wait for an upstream. */
    readonly pending: number;
    /** Present while the system does not send replies, and for a minute after that. */
    readonly unsent?: { readonly reason: string; readonly times: number; readonly latestAgoSeconds: number };
  };
}

export function queriesStatus(
  { counters: listeners, pending }: { readonly counters: ListenerCounters; readonly pending: number },
  resolver: ResolverCounters,
  nowMs: number,
): QueriesStatus {
  const of = (metric: CountMeaning['metric']): Counts =>
    Object.fromEntries(
      Object.values<CountMeaning>(COUNT_MEANINGS).flatMap((meaning, place) =>
        meaning.metric === metric ? [[meaning.label, listeners.values[place] ?? 0]] : [],
      ),
    );
  const { origins, rcodes } = resolver.read();
  const unsent = listeners.unsent(nowMs);
  return {
    queries: {
      received: of('received'),
      replies: of('replies'),
      answers: origins,
      rcodes,
      dropped: of('dropped'),
      limited: of('limited'),
      faults: of('faults'),
      sendErrors: of('sendErrors'),
      connections: of('connections'),
      pending,
      ...(unsent === undefined
        ? {}
        : {
            unsent: {
              reason: unsent.code,
              times: unsent.times,
              latestAgoSeconds: seconds(nowMs - unsent.latestMs),
            },
          }),
    },
  };
}

const { gauge, counter } = metricsOf<QueriesStatus>();

function counts(
  name: string,
  help: string,
  label: string,
  of: Exclude<keyof QueriesStatus['queries'], 'pending' | 'unsent'>,
) {
  return counter(name, help, [label], ({ queries }) => byLabel(queries[of]));
}

export const QUERIES_REPORT: RoomReport<QueriesStatus> = {
  metrics: [
    counts('queries', 'Messages received.', 'transport', 'received'),
    counts('replies', 'Replies sent.', 'transport', 'replies'),
    counts('answers', 'Answers by where they came from.', 'origin', 'answers'),
    counts('responses', 'Replies by response code.', 'rcode', 'rcodes'),
    counts('dropped_messages', 'Messages that got no reply, by reason.', 'reason', 'dropped'),
    counts('limited_queries', 'Queries refused or cut short by a limit, by reason.', 'reason', 'limited'),
    counts(
      'faults',
      'Faults of this server or its sockets; each is a defect or a host in trouble.',
      'kind',
      'faults',
    ),
    counts('send_errors', 'Replies that the kernel did not take.', 'reason', 'sendErrors'),
    counts('tcp_connections', 'TCP connections by what became of them.', 'event', 'connections'),
    gauge('pending_queries', 'Queries that wait for an upstream.', [], ({ queries }) =>
      single(queries.pending),
    ),
  ],
  panels: ({ queries }) => [
    { notes: queries.unsent === undefined ? [] : [toned('bad', unsentText(queries.unsent))] },
    {
      title: 'Server',
      facts: [['waiting', `${plural(queries.pending, 'query', 'queries')} for an upstream`]],
    },
  ],
};

/** What keeps the system from sending, and where a person looks; without the reason for other codes. */
const UNSENT_CAUSES: Readonly<Record<string, string>> = {
  too_large: 'the reply is too large for the way to the client',
  unreachable: 'this host has no route to the client, see ip route',
  refused: 'a packet filter of this host, or a full connection table, see nft list ruleset and dmesg',
  no_buffers: 'the network interface does not keep up',
};

function unsentText({
  reason,
  times,
  latestAgoSeconds,
}: NonNullable<QueriesStatus['queries']['unsent']>): string {
  const place = SEND_ERRORS.get(reason) ?? COUNT.sendOther;
  const label = Object.values(COUNT_MEANINGS)[place]?.label ?? '';
  const cause = UNSENT_CAUSES[label];
  const replies = times === 1 ? 'a reply was' : `${times} replies were`;
  return `${replies} not sent, the last ${agoText(latestAgoSeconds)}: ${reason}${cause === undefined ? '' : `, ${cause}`}`;
}
