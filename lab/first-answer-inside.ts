/**
 * Runs inside a namespace: asks 127.0.0.1:53 for an A record until there is a reply. Prints the reply and its time, on the
 * clock that all processes of the machine share. `node first-answer-inside.ts NAME`
 */
import { firstAnswer } from '../bench/first-answer.ts';

const [name = ''] = process.argv.slice(2);
const reply = firstAnswer(53, name, AbortSignal.timeout(60_000));
console.log('asking');
const { atMs, rcode, addresses } = await reply;
const agoNs = BigInt(Math.round((performance.now() - atMs) * 1e6));
console.log(JSON.stringify({ atNs: String(process.hrtime.bigint() - agoNs), rcode, addresses }));
