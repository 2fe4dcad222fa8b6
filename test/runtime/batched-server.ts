/** A listener and a forwarder in batches, for the tests that run them hard: known names are answered at once, the others asked for upstream. */

import { VERDICT } from '../../src/protocol/wire/query.ts';
import { writeEmptyReply } from '../../src/protocol/wire/reply.ts';
import { type Clock, systemClock, systemTimers, type Timers } from '../../src/runtime/clock.ts';
import type { Libc } from '../../src/runtime/datagrams.ts';
import { systemRandom } from '../../src/runtime/random.ts';
import type { Upstream } from '../../src/serving/forwarder/exchange.ts';
import { Forwarder } from '../../src/serving/forwarder/forwarder.ts';
import { BatchedUdpSockets } from '../../src/serving/forwarder/udp.ts';
import { ClientAccess, ClientAddressBook, RateLimit } from '../../src/serving/listener/clients.ts';
import { Intake } from '../../src/serving/listener/intake.ts';
import { ServerCookies } from '../../src/serving/listener/server-cookies.ts';
import { BatchedUdpListener, SharedBatches } from '../../src/serving/listener/udp-batched.ts';
import { NO_REPLY, PENDING, type QueryHandler } from '../../src/serving/turn.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { EVIDENCE_WANTED } from '../serving/forwarder/hand-made-upstream.ts';
import { socketTransports } from '../serving/forwarder/udp-kinds.ts';

export function batchedServer(
  libc: Libc,
  upstream: Upstream,
  time: { readonly clock: Clock; readonly timers: Timers } = { clock: systemClock, timers: systemTimers },
) {
  const log = new CollectingLog();
  const group = { name: '.', upstreams: [upstream] };
  const outside = { ...time, log };
  const forwarder = new Forwarder({
    evidenceWanted: EVIDENCE_WANTED,
    ...outside,
    random: systemRandom,
    groups: [group],
    transports: socketTransports(new BatchedUdpSockets(libc).open),
  });
  /** Known names have an even ID. */
  const handler: QueryHandler = {
    answer(turn) {
      const { query, verdict, space, spaceStart } = turn;
      if (verdict !== VERDICT.OK) return NO_REPLY;
      return query.id % 2 === 0 ? writeEmptyReply(query, 0, undefined, space, spaceStart) : PENDING;
    },
    later({ query }, reply) {
      forwarder.forwardTo(query, group, {
        send: (outcome) => {
          const space = new Uint8Array(512);
          const rcode = outcome.kind === 'response' ? 0 : 2;
          reply.send(space.subarray(0, writeEmptyReply(query, rcode, undefined, space, 0)));
        },
        fail: (error) => reply.fail(error),
      });
    },
  };
  const intake = new Intake({
    handler,
    log,
    clock: time.clock,
    access: new ClientAccess(['127.0.0.0/8']),
    cookies: new ServerCookies({ clock: time.clock, random: systemRandom }),
    rateLimit: new RateLimit({ responsesPerSecond: 0, slip: 2, seed: 7 }),
    refusalLimit: new RateLimit({ responsesPerSecond: 0, slip: 2, seed: 7 }),
  });
  const context = { ...outside, intake, clients: new ClientAddressBook() };
  const batches = new SharedBatches(libc);
  const listener = () => new BatchedUdpListener({ address: '127.0.0.1', port: 0 }, context, batches);
  return { log, forwarder, intake, listener };
}
