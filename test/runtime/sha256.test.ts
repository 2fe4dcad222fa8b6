import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import { Sha256 } from '../../src/runtime/sha256.ts';

t.test(
  'the digest is that of Node for every length around a block, and around the longest that is hashed here',
  (t) => {
    const lengths = [...Array(200).keys(), 1000, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 200_000];
    for (const length of lengths) {
      const content = randomBytes(length);
      const expected = createHash('sha256').update(content).digest('hex');
      t.equal(new Sha256().update(content).digest().toString('hex'), expected, `${length} octets`);
      const pieces = new Sha256();
      for (let at = 0; at < length; at += 777) pieces.update(content.subarray(at, at + 777));
      t.equal(pieces.digest().toString('hex'), expected, `${length} octets in pieces`);
    }
    t.end();
  },
);

t.test('a text counts as UTF-8, and an array may be written again after it was taken', (t) => {
  const array = Buffer.from('before');
  const hash = new Sha256().update('ä€\u{1f600}').update(array);
  array.fill(0);
  const expected = createHash('sha256').update('ä€\u{1f600}before').digest('hex');
  t.equal(hash.digest().toString('hex'), expected);
  t.end();
});
