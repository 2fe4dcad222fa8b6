/** How the room of the cache reports itself: status, metrics and panels. */
import { metricsOf, plural, type RoomReport, single } from '../../report/report.ts';
import type { AnswerCacheStats } from './answer-cache.ts';

export interface CacheStatus {
  readonly cache: AnswerCacheStats & { readonly limitOctets: number };
}

const { gauge, counter } = metricsOf<CacheStatus>();

export const CACHE_REPORT: RoomReport<CacheStatus> = {
  metrics: [
    gauge('cache_entries', 'Answers in the cache.', [], ({ cache }) => single(cache.entries)),
    gauge('cache_size_octets', 'Octets that the cache takes.', [], ({ cache }) => single(cache.octets)),
    gauge('cache_limit_octets', 'Octets that the cache may take.', [], ({ cache }) =>
      single(cache.limitOctets),
    ),
    counter('cache_evictions', 'Answers dropped for want of room.', [], ({ cache }) =>
      single(cache.evictions),
    ),
    counter('cache_prefetches', 'Answers fetched again before they expired.', [], ({ cache }) =>
      single(cache.prefetches),
    ),
  ],
  panels: ({ cache: { entries, octets, limitOctets } }) => [
    {
      title: 'Server',
      facts: [
        ['cache', `${plural(entries, 'answer')}, ${mebibytes(octets)} of ${mebibytes(limitOctets)} MiB`],
      ],
    },
  ],
};

function mebibytes(octets: number): string {
  return (octets / 1024 / 1024).toFixed(1);
}
