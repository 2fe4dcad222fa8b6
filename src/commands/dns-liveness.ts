/** Whether the DNS side of a server answers at all: any reply to a question that it answers by itself, in every state. */
import { readSocketAddress, type SocketAddress } from '../config/kinds/address.ts';
import { composeQuery } from '../protocol/wire/query.ts';
import { CLASS } from '../protocol/words/classes.ts';
import { nameToWire } from '../protocol/words/name.ts';
import { TYPE } from '../protocol/words/types.ts';
import { exchange } from './dns-exchange.ts';

const ASKED_AT_ONCE = 4; // a wildcard stands for many addresses; one that answers is enough
const ATTEMPTS = 3;

/** Resolves to whether one of `addresses` (`127.0.0.1:53`, `[::1]:53`) replies within `timeoutMs`. Never rejects. */
export async function isDnsAlive(addresses: readonly string[], timeoutMs: number): Promise<boolean> {
  const servers = addresses.flatMap((text) => {
    const reading = readSocketAddress(text, 53, 1);
    return 'value' in reading ? [reading.value] : [];
  });
  if (servers.length === 0) return addresses.length > 0; // link-local ones only: not for us to judge
  const loopbackFirst = servers.toSorted((a, b) => Number(isLoopback(b)) - Number(isLoopback(a)));
  const enough = new AbortController();
  const asked = loopbackFirst.slice(0, ASKED_AT_ONCE).map(async (server) => {
    const { kind } = await exchange({
      server,
      query: OWN_QUESTION,
      deadlineMs: timeoutMs / ATTEMPTS,
      attempts: ATTEMPTS,
      signal: enough.signal,
    });
    if (kind === 'failed') throw new Error('no reply');
  });
  const isAlive = await Promise.any(asked).then(
    () => true,
    () => false,
  );
  enough.abort();
  return isAlive;
}

function isLoopback({ address }: SocketAddress): boolean {
  return address.startsWith('127.') || address === '::1';
}

/** CHAOS: answered or refused on the spot, whatever state AWS and the upstreams are in. */
const OWN_QUESTION = composeQuery({
  id: 0,
  name: nameToWire('version.bind'),
  qtype: TYPE.TXT,
  qclass: CLASS.CH,
  recursionDesired: false,
  checkingDisabled: false,
});
