/** Declares the keys for forwarding names and for keeping the answers. */
import { choice, defaulted, flag, section, wholeNumber } from '../key.ts';
import { duration, durationOrUnlimited, durationText, size, ttl } from '../kinds/quantity.ts';
import { notMoreThan } from '../rule.ts';

export const forward = section(
  'serving/forwarder',
  'how queries are forwarded',
  {
    deadline: defaulted(duration('500ms', '30s'), '5s', 'time in which a client gets an answer or SERVFAIL'),
    attemptMin: defaulted(
      duration('10ms', '10s'),
      '200ms',
      'shortest wait for an upstream before the next is tried',
    ),
    attemptMax: defaulted(
      duration('10ms', '30s'),
      '2s',
      'longest wait for an upstream before the next is tried',
    ),
    inFlight: defaulted(
      wholeNumber(1, 65_535),
      1000,
      'exchanges with upstreams at a time; above it clients get SERVFAIL',
    ),
    caseRandomization: defaulted(
      flag(),
      true,
      'vary the case of names at random against forged replies (0x20); without it, and for upstreams that do not keep the case, each exchange has a source port of its own, which takes twice the processor time',
    ),
    siteNames: defaulted(
      choice('auto', 'always', 'never'),
      'auto',
      'whether names of the site itself (reverse names of private addresses, local, home.arpa, test) are forwarded: auto asks upstreams on the site, always asks all upstreams, never denies the names at once',
      { room: 'daemon' },
    ),
    trustAuthenticatedData: defaulted(
      flag(),
      false,
      'pass on the AD bit of upstreams, which must be near and trusted',
    ),
  },
  notMoreThan('attemptMin', 'attemptMax', durationText),
  notMoreThan('attemptMax', 'deadline', durationText),
);

export const cache = section('serving/answer-cache', 'how forwarded answers are kept', {
  size: defaulted(size('1MiB', '16GiB'), '64MiB', 'memory for forwarded answers'),
  maxTtl: defaulted(ttl('1s', '7d'), '1d', 'longest time an answer counts as fresh'),
  negativeTtl: defaulted(ttl('1s', '3h'), '60s', 'longest time a negative answer counts as fresh'),
  staleFor: defaulted(
    durationOrUnlimited('0s', '3650d'),
    '30d',
    'time after its expiry in which an answer is served while its upstreams do not answer; 0s turns it off',
  ),
  staleTtl: defaulted(ttl('1s', '1h'), '30s', 'TTL of a stale answer'),
  prefetch: defaulted(flag(), true, 'refresh answers in use shortly before they expire'),
});
