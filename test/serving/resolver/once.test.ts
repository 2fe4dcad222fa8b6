/** Facts about a query are found once: V8 counts the calls on the whole way of a query, from the intake to its reply. */
import { Session } from 'node:inspector/promises';
import t from 'tap';
import { PENDING } from '../../../src/serving/turn.ts';
import { laterReplies, makeRig, receive } from '../listener/rig.ts';
import { queryOf, readReply } from './messages.ts';
import { addresses, Rig } from './rig.ts';

/** How often each function of these files was called while `act` did. */
async function calls(
  files: readonly string[],
  act: () => Promise<void>,
): Promise<Readonly<Record<string, number>>> {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  await act();
  const { result } = await session.post('Profiler.takePreciseCoverage');
  session.disconnect();
  const found: Record<string, number> = {};
  for (const { url, functions } of result) {
    const file = files.find((name) => url.endsWith(name));
    if (file === undefined) continue;
    for (const { functionName, ranges } of functions)
      found[`${file} ${functionName}`] = (found[`${file} ${functionName}`] ?? 0) + (ranges[0]?.count ?? 0);
  }
  return found;
}

const FILES = ['protocol/wire/query.ts', 'local-zones/local-zones.ts'];

t.test('a query that waits is parsed once, and its zone and route are found once', async (t) => {
  const rig = new Rig({ rules: [{ name: 'corp.example', forwardTo: 'corp' }] });
  rig.says = (question) => addresses(question, ['192.0.2.1']);
  const { intake } = makeRig({ handler: rig.resolver, clock: rig.time });
  for (const [name, route] of [
    ['www.example.com', 'default'],
    ['www.corp.example', 'corp'],
  ] as const) {
    const counts = await calls(FILES, async () => {
      t.equal(receive(intake, queryOf({ name })), PENDING);
      const replies = laterReplies(intake);
      await rig.time.advance(100);
      const [reply] = await replies;
      t.match(reply === undefined ? undefined : readReply(reply), { answers: [{ data: '192.0.2.1' }] });
    });
    t.match(rig.asked.at(-1), { route });
    t.equal(counts['protocol/wire/query.ts parseQuery'], 1, `${name} is parsed once`);
    t.equal(counts['local-zones/local-zones.ts find'], 1, `the zone of ${name} is found once`);
  }
});
