/** SHA-256 by the OpenSSL of the runtime: the sums that the standard gives, in one piece and in many, with calls of C and without. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { createSha256, sha256 } from '../../src/runtime/checksum.ts';

const hex = (octets: Uint8Array) => Buffer.from(octets).toString('hex');

t.test('the sums of FIPS 180-4', (t) => {
  for (const [text, sum] of [
    ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
    ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
    ['a'.repeat(1_000_000), 'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0'],
  ] as const)
    t.equal(hex(sha256(Buffer.from(text))), sum, text.slice(0, 3));
  t.end();
});

t.test('pieces of every length, also views into larger memory, and two sums at a time', (t) => {
  const other = createSha256();
  const otherOctets: Uint8Array[] = [];
  for (let length = 0; length < 300; length++) {
    const memory = new Uint8Array(length + 20).map((_, at) => at * 7 + length);
    const octets = memory.subarray(9, 9 + length);
    const sum = createSha256();
    for (let at = 0; at < length; at += 1 + (at % 67)) sum.update(octets.subarray(at, at + 1 + (at % 67)));
    other.update(octets);
    otherOctets.push(octets);
    t.equal(hex(sum.digest()), createHash('sha256').update(octets).digest('hex'), `${length} octets`);
  }
  t.equal(hex(other.digest()), createHash('sha256').update(Buffer.concat(otherOctets)).digest('hex'));
  t.end();
});

t.test('nothing of Node is loaded where C can be called; where it cannot, the sum is the same', async (t) => {
  const script = `
    const { sha256 } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/runtime/checksum.ts'))});
    const isLoaded = () => process.moduleLoadList.includes('NativeModule crypto');
    const before = isLoaded();
    const sum = Buffer.from(sha256(Buffer.from('abc'))).toString('hex');
    console.log(sum.slice(0, 8), before, isLoaded());`;
  const run = async (...options: readonly string[]) => {
    const words = [...options, '--no-warnings', '--input-type=module', '-e', script];
    return (await promisify(execFile)(process.execPath, words)).stdout;
  };
  t.equal(await run('--no-experimental-ffi'), 'ba7816bf false true\n');
  const isCallable = process.getBuiltinModule('node:ffi') !== undefined;
  t.equal(await run(), `ba7816bf false ${!isCallable}\n`);
});
