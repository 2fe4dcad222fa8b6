/** What the unit has to say, as far as a file can tell; lab/systemd-unit.ts runs it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ACCEPTED_CONFIG } from '../../src/commands/accepted-config.ts';
import { DEFAULT_CONFIG_FILE } from '../../src/commands/subcommand.ts';
import { DEFAULT_STATE_DIRECTORY } from '../../src/config/source-text.ts';
import { load, SMALLEST } from '../config/loading.ts';

const lines = readFileSync(new URL('../../systemd/outpost-dns.service', import.meta.url), 'utf8').split('\n');
const settingOf = (key: string): string | undefined =>
  lines.find((line) => line.startsWith(`${key}=`))?.slice(key.length + 1);

t.test('the memory is bounded, and the bound fits the default cache', async (t) => {
  const [, amount, unit] = /^(\d+)([MG])$/.exec(settingOf('MemoryMax') ?? '') ?? [];
  const octets = Number(amount) * (unit === 'G' ? 2 ** 30 : 2 ** 20);
  const { cache } = await load(SMALLEST);
  t.ok(octets >= 2 * cache.sizeOctets + 512 * 2 ** 20, 'as docs/install.md has it');
  t.match(settingOf('OOMScoreAdjust'), /^-\d+$/);
});

t.test('a file that is gone does not keep the server from starting with what was taken last', (t) => {
  for (const unit of ['service', 'socket']) {
    const text = readFileSync(new URL(`../../systemd/outpost-dns.${unit}`, import.meta.url), 'utf8');
    t.strictSame(text.match(/^ConditionPathExists=.*/gm), [
      `ConditionPathExists=|${DEFAULT_CONFIG_FILE}`,
      `ConditionPathExists=|${join(DEFAULT_STATE_DIRECTORY, ACCEPTED_CONFIG)}`,
    ]);
  }
  t.end();
});

t.test('nothing but port 53, and nothing writable but the state', (t) => {
  for (const [key, value] of [
    ['CapabilityBoundingSet', 'CAP_NET_BIND_SERVICE'],
    ['NoNewPrivileges', 'yes'],
    ['ProtectSystem', 'strict'],
    ['ProtectHome', 'yes'],
    ['EnvironmentFile', '-/etc/outpost-dns/environment'],
  ] as const)
    t.equal(settingOf(key), value, key);
  t.equal(settingOf('ReadWritePaths'), undefined);
  t.end();
});
