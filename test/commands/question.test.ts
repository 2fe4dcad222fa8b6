import t from 'tap';
import { readQuestion } from '../../src/commands/question.ts';
import { run } from './running.ts';

const REVERSE = 'write 20.1.0.10.in-addr.arpa PTR for its reverse name, or the name that has this address';
const REVERSE_IPV6 =
  'write its reverse name, which ends in ip6.arpa, and PTR, or the name that has this address';

t.test('questions: types, the root, a final dot, and reverse names for addresses', async (t) => {
  t.strictSame(readQuestion('a.example.', 65), { name: 'a.example', type: 'HTTPS' });
  t.strictSame(readQuestion('_status.a.example', 16), { name: '_status.a.example', type: 'TXT' });
  t.strictSame(readQuestion('.', 2), { name: '.', type: 'NS' });
  t.strictSame(readQuestion('10.0.1.20', 12), { name: '20.1.0.10.in-addr.arpa', type: 'PTR' });
  t.strictSame(readQuestion(String.raw`a\.b.example`, 1), { name: String.raw`a\.b.example`, type: 'A' });
  t.strictSame(readQuestion('$data:1.2.example', 1), { name: '$data:1.2.example', type: 'A' });
});

t.test('what is pasted in place of a name: the fix names what was meant', async (t) => {
  const rows = [
    ['https://ABC.gr7.us-west-2.eks.amazonaws.com', 'write abc.gr7.us-west-2.eks.amazonaws.com'],
    ['https://abc.example:443/healthz', 'write abc.example'],
    ['abc.example:443', 'write abc.example'],
    ['bücher.example', 'write xn--bcher-kva.example'],
    ['https://bücher.example/', 'write xn--bcher-kva.example'],
    ['10.0.1.20', REVERSE],
    ['fd00::1', REVERSE_IPV6],
    // what the fix names is taken: an address behind a port or in a URL is none that could be asked for
    ['10.0.1.20:443', REVERSE],
    ['https://10.0.1.20/', REVERSE],
    ['１０.0.1.20', REVERSE],
    ['https://[fd00::1]:6443/', REVERSE_IPV6],
    ['[fd00::1]:443', REVERSE_IPV6],
    ['12345:443', 'write 12345'],
    ['..', 'empty label: labels have 1 to 63 octets, a whole name up to 253'],
    ['a.example..', 'empty label: labels have 1 to 63 octets, a whole name up to 253'],
    [String.raw`\256.example`, String.raw`write an octet as \ and three digits, up to \255`],
  ] as const;
  for (const [text, fix] of rows) t.strictSame(readQuestion(text, 1), { fix }, text);
});

t.test('names that look unusual are names', async (t) => {
  const rows = [
    '_kubernetes._tcp.a_b.example',
    'xn--bcher-kva.example',
    '20.1.0.10.in-addr.arpa',
    '0/25.2.0.192.in-addr.arpa',
    '*.example',
    '10.0.1',
    '123',
    String.raw`a\.b:443`,
  ];
  for (const name of rows) t.strictSame(readQuestion(name, 1), { name, type: 'A' });
});

t.test('each command that takes a name: wrong usage is exit 2, and no server is asked', async (t) => {
  const rows = [
    ['lookup', 'a..b'],
    ['explain', ''],
    ['flush', `${'a'.repeat(64)}.example`],
    ['flush', '..', '--below'],
    ['flush', 'https://10.0.1.20'],
  ];
  for (const words of rows) {
    const { code, stdout, stderr } = await run(words);
    t.equal(code, 2, stderr);
    t.equal(stdout, '');
    t.match(stderr, /^outpost-dns: not a domain name: ".*"\n {4}\S/);
    t.notMatch(stderr, /PTR/, 'flush takes no type');
  }
});

t.test('the order of dig, kdig and nslookup: the fix says where name, type and server stand', async (t) => {
  const rows: readonly (readonly [words: readonly string[], fix: RegExp])[] = [
    [
      ['lookup', '@10.0.9.53', 'a.example'],
      /name comes first, then the type; a server to ask goes with --server$/m,
    ],
    [['lookup', 'a.example', '@10.0.9.53'], /--server 10\.0\.9\.53$/m],
    [['lookup', 'a.example', '10.0.9.53'], /--server 10\.0\.9\.53$/m],
    [['lookup', 'a.example', '@fd00::53'], /--server fd00::53$/m],
    [['lookup', 'TXT', 'a.example'], /name comes first, then the type/],
    [['explain', 'a.example', 'BOGUS'], /write a mnemonic/],
  ];
  for (const [words, fix] of rows) {
    const { code, stdout, stderr } = await run([...words]);
    t.equal(code, 2, stderr);
    t.equal(stdout, '');
    t.match(stderr, fix);
  }
});
