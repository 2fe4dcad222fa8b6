/** Which addresses of a wildcard's socket are served. */
import t from 'tap';
import { parseClientAddress } from '../../../src/serving/listener/clients.ts';
import { Served, type WildcardAddress } from '../../../src/serving/listener/udp.ts';

const octetsOf = (address: string): Uint8Array => parseClientAddress(address)!.octets;
const served = (address: string): WildcardAddress => ({ address, port: 53, octets: octetsOf(address) });

/** As packet information has it, behind one other word. */
function wordsOf(address: string, family: 4 | 6): Uint32Array {
  const octets = octetsOf(address);
  const mapped = family === 6 && octets.length === 4 ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] : [];
  return new Uint32Array(Uint8Array.from([9, 9, 9, 9, ...mapped, ...octets]).buffer);
}

t.test('by octets and by words: the named addresses and no other', async (t) => {
  const some = new Served();
  const asks = ['10.0.0.1', '10.0.0.2', '10.0.1.2', 'fd00::1', 'fd00::2', 'fd00:0:0:1::1', '::'];
  const found = () =>
    asks.filter((address) => {
      const family = address.includes(':') ? 6 : 4;
      const isServed = some.has(octetsOf(address));
      t.equal(some.hasWords(wordsOf(address, family), 1, family), isServed, `${address} by words`);
      return isServed;
    });
  t.same([found(), some.isLimited], [asks, false], 'all where nothing is named');
  some.only = ['10.0.0.2', 'fd00::2', '10.0.0.1'].map(served);
  t.same([found(), some.isLimited], [['10.0.0.1', '10.0.0.2', 'fd00::2'], true]);
  t.ok(some.hasWords(wordsOf('10.0.0.1', 6), 1, 6), 'an IPv4 client of an IPv6 socket');
  t.notOk(some.hasWords(wordsOf('10.0.1.2', 6), 1, 6));
  // the first or the last octets alone are those of a served address
  for (const address of ['a00:1::', 'a00:2:0:1::', '0.0.0.2', '253.0.0.0']) {
    const family = address.includes(':') ? 6 : 4;
    t.notOk(some.has(octetsOf(address)), address);
    t.notOk(some.hasWords(wordsOf(address, family), 1, family), `${address} by words`);
  }
  some.only = [];
  t.same(found(), [], 'none where none is left');
  some.only = undefined;
  t.same(found(), asks);
});
