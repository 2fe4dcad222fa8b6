import t from 'tap';
import { sipHash24, sipKey } from '../../../src/serving/listener/server-cookies.ts';

const hash = (key: string, input: Uint8Array): string => {
  const output = new Uint8Array(10);
  const padded = Buffer.concat([Buffer.of(0xee), input, Buffer.of(0xee)]);
  sipHash24(sipKey(Buffer.from(key, 'hex')), padded, 1, 1 + input.length, output, 1);
  return Buffer.from(output.subarray(1, 9)).toString('hex');
};

t.test("the value of the algorithm's authors, and those of RFC 9018 appendix A", async (t) => {
  const key = '000102030405060708090a0b0c0d0e0f';
  const counting = Uint8Array.from({ length: 15 }, (_, at) => at);
  t.equal(hash(key, counting), 'e545be4961ca29a1');
  t.equal(hash(key, new Uint8Array(0)), '310e0edd47db6f72');
  const cookies: [string, string, string][] = [
    // section A.1: client cookie, version, reserved, timestamp, 198.51.100.100
    ['e5e973e5a6b2a43f48e7dc849e37bfcf', '2464c4abcf10c957010000005cf79f11c6336464', '1f8130c3eee29480'],
    // section A.3: reserved octets that are not zero take part in the hash
    ['e5e973e5a6b2a43f48e7dc849e37bfcf', 'fc93fc62807ddb8601abcdef5cf78f71cb0071cb', 'a314227b6679ebf5'],
    // section A.4: 2001:db8:220:1:59de:d0f4:8769:82b8
    [
      'dd3bdf9344b678b185a6f5cb60fca715',
      '22681ab97d52c298010000005cf7c57920010db80220000159ded0f4876982b8',
      '26556bd0934c72f8',
    ],
  ];
  for (const [secret, input, expected] of cookies)
    t.equal(hash(secret, Buffer.from(input, 'hex')), expected, input);
});
