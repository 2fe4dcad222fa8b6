/**
 * Tells open pages when to load themselves again, by server-sent events. An event carries no data, because all pages then get
 * the one page that is made for them together. A page that hears nothing knows that the connection is lost.
 */
import type { Timers } from '../runtime/timers.ts';
import type { Page } from './http-server.ts';

export interface LiveOptions {
  readonly timers: Timers;
  /** Differs after a change that a person waits for: such a change is told within a second. */
  readonly revision?: (() => string) | undefined;
}

const POLL_MS = 1_000;
const EVERY_POLLS = 5;
/** A browser connects again this long after a loss. */
const RETRY_MS = 2_000;
const TICK = 'data: tick\n\n';

/** One timer for all open pages, and none while no page is open. */
export function livePage({ timers, revision = () => '' }: LiveOptions): () => Page {
  const open = new Set<(text: string) => void>();
  let isPolling = false;
  let polls = 0;
  let told = '';
  const poll = (): void => {
    const now = revision();
    polls += 1;
    if (now !== told || polls >= EVERY_POLLS) {
      told = now;
      polls = 0;
      for (const send of open) send(TICK);
    }
    isPolling = open.size > 0;
    if (isPolling) timers.after(POLL_MS, poll);
  };
  return () => ({
    status: 200,
    contentType: 'text/event-stream; charset=utf-8',
    body: `retry: ${RETRY_MS}\n\n`,
    stream: (send) => {
      if (open.size === 0) told = revision();
      open.add(send);
      if (!isPolling) timers.after(POLL_MS, poll);
      isPolling = true;
      return {
        [Symbol.dispose]() {
          open.delete(send);
        },
      };
    },
  });
}
