import t from 'tap';
import { composeQuery } from '../../../src/protocol/wire/query.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { parseClientAddress } from '../../../src/serving/listener/clients.ts';
import { ServerCookies } from '../../../src/serving/listener/server-cookies.ts';
import { Turn } from '../../../src/serving/turn.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** A clock that stands where it was put. */
class Standing {
  seconds: number;
  constructor(seconds: number) {
    this.seconds = seconds;
  }
  readonly wallMs = (): number => this.seconds * 1000;
  readonly monotonicMs = (): number => this.seconds * 1000;
}

let drawn = 0;
const random = { uint32: () => ++drawn * 0x9e3779b1 };

/** The turn of a query with this cookie. */
function turnOf(cookie: string, from: string): Turn {
  const parts = { id: 1, qtype: 1, qclass: 1, recursionDesired: true, checkingDisabled: false };
  const plain = composeQuery({ ...parts, name: nameToWire('example.com'), edns: { dnssecOk: false } });
  const option = hex(cookie);
  const message = Buffer.concat([plain, Buffer.of(0, 10, 0, option.length), option]);
  message.writeUInt16BE(4 + option.length, plain.length - 2);
  const { octets, family } = parseClientAddress(from)!;
  const turn = new Turn();
  turn.from('udp', octets, 0, family, 5353, 0);
  turn.into(Buffer.alloc(20), 1);
  turn.read(message, 0, message.length);
  return turn;
}

/** The server cookie that the reply gets. */
function filled(cookies: ServerCookies, cookie: string, from: string): string {
  const turn = turnOf(cookie, from);
  cookies.fill(turn, 17);
  return Buffer.from(turn.space.subarray(2, 18)).toString('hex');
}

function isValid(cookies: ServerCookies, cookie: string, from: string): boolean {
  return cookies.isValid(turnOf(cookie, from));
}

t.test('the examples of RFC 9018 appendix A', async (t) => {
  const clock = new Standing(1559731985);
  const secrets = [hex('e5e973e5a6b2a43f48e7dc849e37bfcf')];
  const cookies = new ServerCookies({ clock, random, secrets });
  const first = '010000005cf79f111f8130c3eee29480';
  t.equal(filled(cookies, '2464c4abcf10c957', '198.51.100.100'), first, 'A.1: learned');
  clock.seconds = 1559734385;
  const renewed = '010000005cf7a871d4a564a1442aca77';
  t.equal(
    filled(cookies, `2464c4abcf10c957${first}`, '198.51.100.100'),
    renewed,
    'A.2: renewed after 40 minutes',
  );
  const reserved = 'fc93fc62807ddb86 01abcdef5cf78f71a314227b6679ebf5';
  clock.seconds = 1559727985;
  t.ok(isValid(cookies, reserved, '203.0.113.203'), 'A.3: reserved octets that are not zero');
});

t.test('RFC 9018 appendix A.4: an IPv6 client, and the previous secret', async (t) => {
  const clock = new Standing(1559741961);
  const from = '2001:db8:220:1:59de:d0f4:8769:82b8';
  const cookie = '22681ab97d52c298010000005cf7c57926556bd0934c72f8';
  const before = hex('dd3bdf9344b678b185a6f5cb60fca715');
  const now = hex('445536bcd2513298075a5d379663c962');
  t.notOk(isValid(new ServerCookies({ clock, random, secrets: [now] }), cookie, from));
  const cookies = new ServerCookies({ clock, random, secrets: [now, before] });
  clock.seconds = 1559741817;
  t.ok(isValid(cookies, cookie, from));
});

t.test(
  'a cookie ends after an hour, is renewed after half of one, and may be five minutes ahead',
  async (t) => {
    const clock = new Standing(2_000_000);
    const cookies = new ServerCookies({ clock, random });
    const server = filled(cookies, '0102030405060708', '10.0.0.1');
    const cookie = `0102030405060708${server}`;
    for (const [afterSeconds, valid, same] of [
      [0, true, true],
      [1800, true, true],
      [1801, true, false],
      [3600, true, false],
      [3601, false, false],
      [-300, true, true],
      [-301, false, false],
    ] as const) {
      clock.seconds = 2_000_000 + afterSeconds;
      t.equal(isValid(cookies, cookie, '10.0.0.1'), valid, `${afterSeconds} s`);
      t.equal(filled(cookies, cookie, '10.0.0.1') === server, same, `${afterSeconds} s`);
    }
    clock.seconds = 2_000_000;
    t.ok(isValid(cookies, cookie, '::ffff:10.0.0.1'), 'the same client over a dual-stack socket');
    t.notOk(isValid(cookies, cookie, '10.0.0.2'));
    t.notOk(isValid(cookies, `1102030405060708${server}`, '10.0.0.1'), 'of another client cookie');
    t.notOk(isValid(cookies, `${cookie}00`, '10.0.0.1'), 'of another length');
  },
);

t.test(
  'the secret changes once a day, and a cookie of the previous secret is good for its hour',
  async (t) => {
    const clock = new Standing(1_000_000);
    const cookies = new ServerCookies({ clock, random });
    clock.seconds += 86_399;
    const cookie = `0102030405060708${filled(cookies, '0102030405060708', '10.0.0.1')}`;
    clock.seconds += 2;
    const next = filled(cookies, '0102030405060708', '10.0.0.1');
    t.ok(isValid(cookies, cookie, '10.0.0.1'), 'made by the secret before');
    clock.seconds += 86_400;
    t.notOk(isValid(cookies, `0102030405060708${next}`, '10.0.0.1'), 'its time is over');
    const other = new ServerCookies({ clock, random });
    const fresh = `0102030405060708${filled(cookies, '0102030405060708', '10.0.0.1')}`;
    t.notOk(isValid(other, fresh, '10.0.0.1'), 'another server has another secret');
  },
);
