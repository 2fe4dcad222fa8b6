import t from 'tap';
import { readQuestion } from '../../src/commands/question.ts';
import { run } from './running.ts';

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
    ['10.0.1.20', 'write 20.1.0.10.in-addr.arpa PTR for its name, or the name that has this address'],
    ['fd00::1', 'write its name below ip6.arpa and PTR, or the name that has this address'],
  ] as const;
  for (const [text, fix] of rows) t.strictSame(readQuestion(text, 1), { fix }, text);
});

t.test('each command that takes a name: wrong usage is exit 2, and no server is asked', async (t) => {
  const rows = [
    ['lookup', 'a..b'],
    ['explain', ''],
    ['flush', `${'a'.repeat(64)}.example`],
  ];
  for (const words of rows) {
    const { code, stdout, stderr } = await run(words);
    t.equal(code, 2, stderr);
    t.equal(stdout, '');
    t.match(stderr, /^outpost-dns: not a domain name: ".*"\n {4}\S/);
  }
});
