/** Parts of the lab that need none of its programs. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { parseMemory } from '../bench/process-figures.ts';
import { systemPartsOf } from '../lab/soak-memory.ts';

const mapping = (head: string, mib: number): string =>
  `${head}\nSize:   ${mib * 2048} kB\nRss:   ${mib * 1024} kB\nAnonymous:   0 kB\nVmFlags: rd mr mw me\n`;

t.test('the parts of a process are told by the places of its mappings', async (t) => {
  const smaps = [
    mapping('00400000-0082e000 r--p 00000000 fe:01 77   /opt/outpost-dns/node_modules/node/bin/node', 1),
    mapping('17397000-18e22000 rw-p 00000000 00:00 0   [heap]', 2),
    mapping('7f1924000000-7f1924780000 rw-p 00000000 00:00 0 ', 4), // an arena, and the rest of its 64 MiB
    mapping('7f1924780000-7f1928000000 ---p 00000000 00:00 0 ', 0),
    mapping('7f1930000000-7f1930040000 rw-p 00000000 00:00 0 ', 8), // pages of V8, one of them where an arena may begin
    mapping('7f1930080000-7f19300c0000 rw-p 00000000 00:00 0 ', 16),
    mapping('7f1931001000-7f1931101000 rwxp 00000000 00:00 0 ', 32),
    mapping('7f1932001000-7f1932101000 rw-p 00000000 00:00 0 ', 64), // a slab of 1 MiB
    mapping('7ffc2e5c0000-7ffc2e5e1000 rw-p 00000000 00:00 0   [stack]', 128),
  ].join('');
  t.strictSame(systemPartsOf(smaps), { program: 1, malloc: 6, heaps: 56, buffers: 192 });
  t.strictSame(systemPartsOf(''), { program: 0, malloc: 0, heaps: 0, buffers: 0 });
});

t.test('the parts are the whole', { skip: process.platform !== 'linux' }, async (t) => {
  const { program, malloc, heaps, buffers } = systemPartsOf(readFileSync('/proc/self/smaps', 'utf8'));
  const { residentMebibytes } = parseMemory(readFileSync('/proc/self/smaps_rollup', 'utf8'));
  const parts = program + malloc + heaps + buffers;
  t.ok(Math.abs(parts / residentMebibytes - 1) < 0.1, `${parts} of ${residentMebibytes}`);
  for (const part of [program, malloc, heaps, buffers]) t.ok(part > 0);
});
