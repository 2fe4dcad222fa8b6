/** Findings about DNS on this host: who holds port 53, and whether the resolver of the host asks this server. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import {
  holderFindings,
  portFindings,
  portHolders,
  resolverFindings,
} from '../../../src/commands/check/host-dns.ts';
import { load } from '../../config/loading.ts';
import { running, site } from './site-parts.ts';

t.test(
  'port 53: who holds it, with the unit or the stub by name',
  { skip: process.platform !== 'linux' },
  async (t) => {
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
    t.teardown(() => socket.close());
    const { port } = socket.address();
    t.match(await portHolders(port), [
      { address: '127.0.0.1', transport: 'udp', program: { pid: process.pid } },
    ]);
    const config = await load(
      `clusters: [{name: a, region: us-west-2}]\nupstreams: [10.0.0.2]\nlisten: {dns: ["127.0.0.1:${port}"]}\n`,
    );
    t.match(await portFindings({ config, server: undefined }), [
      {
        code: 'port-53-taken',
        severity: 'problem',
        text: new RegExp(`holds 127\\.0\\.0\\.1:${port}: this server cannot`),
      },
    ]);
    const listen = [
      { address: '0.0.0.0', port: 53 },
      { address: '::', port: 53 },
    ];
    const held = (address: string, name: string, more: object = {}) =>
      holderFindings(listen, [
        { address, transport: 'udp', program: { pid: 7, name, words: [name], ...more } },
      ]);
    t.match(held('127.0.0.53', 'systemd-resolve'), [
      {
        severity: 'warning',
        text: /^the stub of systemd-resolved \(pid 7\) holds 127\.0\.0\.53:53/,
        fix: /DNSStubListener=no/,
      },
    ]);
    t.match(held('::', 'coredns'), [{ severity: 'problem', fix: /^end it: kill 7/ }]);
    t.match(held('0.0.0.0', 'dnsmasq', { unit: 'dnsmasq.service' }), [
      { severity: 'warning', fix: /systemctl disable --now dnsmasq\.service/ },
    ]);
    for (const program of ['/usr/lib/outpost-dns/dist/main.js', 'src/main.ts', './dist/main.js'])
      t.strictSame(held('0.0.0.0', 'node', { words: ['node', program, 'serve'] }), [], program);
    t.match(held('::', 'node', { words: ['node', 'other-src/main.ts', 'serve'] }), [{ severity: 'problem' }]);
    t.match(holderFindings(listen, [{ address: '::', transport: 'tcp' }]), [
      { text: /only root/, fix: /^run the check as root/ },
    ]);
  },
);

t.test('the resolver of this host: asks us, asks one that asks us, asks another', async (t) => {
  const file = join(t.testdir(), 'resolv.conf');
  const one = await site(t, { more: 'listen: {dns: ["10.0.9.53:53"]}' });
  const check = async (text: string, isOurs = false) => {
    await writeFile(file, text);
    const around = { ...one, resolvConf: file, server: running({}) };
    return resolverFindings(around, async () => isOurs);
  };
  t.strictSame(await check('search example\nnameserver 10.0.9.53\n'), []);
  t.strictSame(await check('nameserver 127.0.0.53\n', true), []);
  t.match(await check('nameserver 10.0.0.2\n'), [
    { code: 'resolver-not-us', severity: 'warning', fix: /^echo nameserver 10\.0\.9\.53/ },
  ]);
  t.match(await check('nameserver 127.0.0.53\n'), [{ code: 'resolver-not-us', fix: /DNS=10\.0\.9\.53/ }]);
});
