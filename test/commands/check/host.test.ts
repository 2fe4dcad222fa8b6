import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { hostsFindings, parseHosts, readHosts, retainedFindings } from '../../../src/commands/check/host.ts';
import { retained } from '../../store/retained-records.ts';

const HOSTS = `127.0.0.1 localhost
# 10.0.1.10 abc.example
10.0.1.10\tABC.Example.   abc # appended by bootstrap
  10.0.1.99 other.example abc.example
::1 ip6-localhost
not-an-entry
`;

t.test('lines: comments, white space, several names, any case', async (t) => {
  t.strictSame(parseHosts(HOSTS), [
    { line: 1, address: '127.0.0.1', names: ['localhost'] },
    { line: 3, address: '10.0.1.10', names: ['abc.example', 'abc'] },
    { line: 4, address: '10.0.1.99', names: ['other.example', 'abc.example'] },
    { line: 5, address: '::1', names: ['ip6-localhost'] },
  ]);
  t.strictSame(parseHosts(''), []);
  t.strictSame(
    parseHosts('10.0.0.1 a\r\n10.0.0.2 b\r\n').map(({ names }) => names),
    [['a'], ['b']],
  );
});

t.test(
  'an endpoint in the file: a warning while the line is right, a problem once it is wrong',
  async (t) => {
    const lines = parseHosts(HOSTS);
    const known = { endpoint: 'abc.example', addresses: ['10.0.1.10', '10.0.1.11'] };
    t.match(hostsFindings('/etc/hosts', lines, [known]), [
      {
        code: 'hosts-file-names-endpoint',
        severity: 'warning',
        text: /line 3 of "\/etc\/hosts" gives "abc\.example" the address 10\.0\.1\.10/,
      },
      {
        code: 'hosts-file-contradicts',
        severity: 'problem',
        text: /line 4 .* 10\.0\.1\.99.*not an address of the endpoint any more/,
      },
    ]);
    t.strictSame(
      hostsFindings('/etc/hosts', lines, [{ endpoint: 'abc.example', addresses: [] }]).map(
        ({ severity }) => severity,
      ),
      ['warning', 'warning'],
      'while no address is known, none can be called wrong',
    );
    t.strictSame(hostsFindings('/etc/hosts', lines, [{ endpoint: 'bc.example', addresses: [] }]), []);
  },
);

t.test('reading: no file is no line; what cannot be read says why', async (t) => {
  const directory = t.testdir();
  t.strictSame(await readHosts(join(directory, 'none')), []);
  t.strictSame(await readHosts(directory), { code: 'EISDIR' });
  await writeFile(join(directory, 'hosts'), HOSTS);
  t.equal(((await readHosts(join(directory, 'hosts'))) as unknown[]).length, 4);
});

const retain = (...names: readonly string[]) => names.map((name) => ({ name, qtype: 1 }));
const reading = (...names: readonly string[]) =>
  ({
    served: { from: 'current', generation: 1, writtenAtMs: 0, content: names.map((name) => retained(name)) },
    faults: [],
  }) as const;

t.test('a retained name without an answer on disk would fail in an outage', async (t) => {
  t.strictSame(retainedFindings(retain('a.example'), reading('a.example', 'b.example')), []);
  t.match(retainedFindings(retain('a.example', 'c.example'), reading('a.example')), [
    {
      code: 'retained-name-missing',
      severity: 'problem',
      text: 'retained name "c.example": no answer to it was ever kept',
    },
  ]);
  t.match(retainedFindings(retain('a.example'), { faults: [] }), [{ severity: 'problem' }], 'no file yet');
});

t.test('each name once, and no more than a few of many', async (t) => {
  const twice = [...retain('a.example'), { name: 'a.example', qtype: 1 }];
  t.equal(retainedFindings(twice, reading()).length, 1);
  const many = retain(...Array.from({ length: 12 }, (_, at) => `n${at}.example`));
  const found = retainedFindings(many, reading());
  t.equal(found.length, 6);
  t.match(found.at(-1), { severity: 'problem', text: 'and 7 more retained names' });
});

t.test('an unreadable file is a finding where a name is retained', async (t) => {
  const faults = [
    { path: '/s/retained.json', kind: 'unreadable', reason: 'eacces', detail: 'EACCES' },
  ] as const;
  t.match(retainedFindings(retain('a.example'), { faults }), [
    { code: 'retained-unreadable', severity: 'warning', text: '"/s/retained.json": EACCES' },
    { severity: 'problem' },
  ]);
  t.strictSame(retainedFindings([], { faults }), []);
});
