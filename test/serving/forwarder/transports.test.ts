/**
 * A made-up transport is asked, timed, counted and padded as its traits say, and reaches the whole server. A new transport that
 * opens its own sockets touches three files under src/:
 *
 *     serving/forwarder/new.ts   its `TransportKind`
 *     daemon/serving-rooms.ts    hands it in
 *     config/kinds/upstream.ts   its scheme and port
 */
import t from 'tap';
import { SCHEMES } from '../../../src/config/kinds/upstream.ts';
import { type Exchange, matchReply } from '../../../src/serving/forwarder/exchange.ts';
import { VirtualSite } from '../../daemon/virtual-site.ts';
import type { VirtualTime } from '../../helpers/virtual-time.ts';
import { MADE_UP, MadeUpTransport } from './made-up-transport.ts';
import { socketTransports } from './udp-kinds.ts';
import { ask, shown, upstream, VirtualUpstreams } from './virtual-upstreams.ts';

/** `pigeon`: encrypted, four round trips; silent where `isSilent`. */
function pigeons(isSilent: boolean) {
  const opened: string[] = [];
  const sent: Exchange[] = [];
  const bird = { ...upstream('loft'), transport: 'pigeon', serverName: 'loft.example' };
  const world: VirtualUpstreams = new VirtualUpstreams(
    [{ name: 'default', upstreams: [bird] }],
    () => 'silence',
    {
      transports: {
        ...socketTransports(),
        pigeon: {
          roundTrips: 4,
          isEncrypted: true,
          open: ({ text, serverName }) => {
            opened.push(`${text} ${serverName}`);
            const transport = new MadeUpTransport((exchange) => {
              sent.push(exchange);
              if (!isSilent)
                world.time.after(80, () => transport.take(exchange) && reply(exchange, world.time));
            });
            return transport;
          },
        },
      },
    },
  );
  return { world, opened, sent };
}

function reply(exchange: Exchange, time: VirtualTime): void {
  const octets = Buffer.from(exchange.message.subarray(0, exchange.questionEnd));
  octets.writeUInt16BE(0x8180, 2);
  octets.writeUInt16BE(0, 10);
  const end = matchReply(exchange, octets, time.monotonicMs());
  if (end !== undefined) exchange.end(end);
}

t.test(
  'a made-up transport is a row: opened before the first question, padded, counted by its name',
  async (t) => {
    const { world, opened, sent } = pigeons(false);
    t.strictSame(opened, ['loft loft.example']);
    t.match(shown(await ask(world)), /^loft rcode 0 after 80/);
    t.equal((sent[0]?.message.length ?? 0) % 128, 0, 'padded, because it is encrypted');
    t.match(world.forwarder.snapshot().upstreams, [{ exchanges: { udp: 0, tcp: 0, tls: 0, pigeon: 1 } }]);
    world.forwarder.close();
  },
);

t.test(
  'it is waited for as many round trips as its row says, and never replaced by UDP or TCP',
  async (t) => {
    const { world, sent } = pigeons(true);
    await ask(world);
    const [first, second] = sent
      .filter(({ questionEnd }) => questionEnd > 17)
      .map(({ startedAtMs }) => startedAtMs);
    t.equal((second ?? 0) - (first ?? 0), 2_000, 'four times 500 ms, of which none was measured');
    t.match(world.forwarder.snapshot().upstreams, [{ exchanges: { udp: 0, tcp: 0, tls: 0 } }]);
    world.forwarder.close();
  },
);

t.test(
  'an upstream with a transport that is not in the table is a defect of its configuration',
  async (t) => {
    const upstreams = [{ ...upstream('loft'), transport: 'pigeon' }];
    t.throws(
      () => new VirtualUpstreams([{ name: 'default', upstreams }], () => 'silence'),
      /there is no transport "pigeon"/,
    );
  },
);

t.test('an operator writes it, a query takes it, and the status names it', async (t) => {
  SCHEMES.set('pigeon', { port: 7353, words: 'DNS by pigeon' });
  let needed = 0;
  MADE_UP['pigeon'] = { roundTrips: 4, isEncrypted: true, needs: [() => needed++] };
  t.teardown(() => SCHEMES.delete('pigeon') && delete MADE_UP['pigeon']);
  const zone = '{ name: loft.example.com, forwardTo: ["pigeon://10.9.9.9#loft.example"] }';
  const site = await VirtualSite.open(t.testdir(), `zones: [${zone}]`);
  t.match(await site.ask({ name: 'www.loft.example.com' }), {
    rcode: 0,
    answers: [{ data: '192.0.2.80' }],
  });
  t.match(site.report.upstreams, [
    { upstream: /.*/, exchanges: { pigeon: 0 } },
    { upstream: 'pigeon://10.9.9.9:7353#loft.example', exchanges: { pigeon: 1, udp: 0 } },
  ]);
  await site.daemon.reload();
  t.equal(
    needed,
    1,
    'a reload loads what it needs, before it changes anything: here there is no address to listen on',
  );
  await site.close();
});
