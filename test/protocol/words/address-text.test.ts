/** What is an address: as Node says, whose own test of IPv6 a start must not wait for. */
import { isIP, isIPv6 } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { isAddress, isSix } from '../../../src/protocol/words/address-text.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 300);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
t.comment(`fast-check seed ${seed}, ${numRuns} runs`);

const TEXTS = [
  '',
  ':',
  '::',
  '::1',
  '1::',
  '1::2::3',
  ':1',
  '1:',
  '1:2:3:4:5:6:7:8',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7',
  'fe80::1',
  'fe80::g',
  '::ffff:10.0.0.1',
  '::ffff:10.0.0.256',
  '::10.0.0.1',
  'fe80::/10',
  '[::1]',
  '10.0.0.1',
  '10.0.0.1/8',
  '10.0.0',
  '010.0.0.1',
  '256.0.0.1',
  '1',
  'localhost',
  '12345::',
  '0:0:0:0:0:0:0:0',
  '0.0.0.0',
  '::1\0',
  '::1\0x',
  '10.0.0.1\0',
];

t.test('an address is what Node takes for one', async (t) => {
  for (const text of TEXTS) t.equal(isAddress(text), isIP(text) !== 0, text);
  for (const text of TEXTS.filter(isAddress)) t.equal(isSix(text), isIPv6(text), text);
  for (const text of ['fe80::1%eth0', 'fe80::1%']) t.notOk(isAddress(text), `${text} has a zone`);
});

t.test('of any two addresses and their pieces', async () => {
  const piece = fc.constantFrom(':', '::', '.', '0', 'ffff', 'a', '10', '255', '256', '/8', '10.0.0.1');
  const text = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.array(piece, { maxLength: 12 }).map((all) => all.join('')),
  );
  const alike = fc.property(text, (one) => isAddress(one) === (isIP(one) !== 0));
  fc.assert(alike, { numRuns, seed });
});
