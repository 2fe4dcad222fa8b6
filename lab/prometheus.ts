/** Prometheus' own check of `/metrics`, and whether every metric in docs/metrics.md is there. */
import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { LabCheck } from './check.ts';
import { run } from './commands.ts';
import { dig } from './dig.ts';
import { DNS_PORT, ENDPOINT, HTTP_ADDRESS, SandboxSite } from './sandbox-site.ts';

export const prometheus: LabCheck = {
  name: 'prometheus',
  about: '/metrics as promtool reads it, and as docs/metrics.md describes it',
  tools: ['promtool', 'dig', 'ip', 'curl', 'git'],
  async run(lab) {
    await using site = await SandboxSite.start(lab.workshop, 'prometheus');
    await site.untilLearned();
    for (const name of [ENDPOINT, 'www.example.com', 'nothing.example.com'])
      await dig(site.within, '@127.0.0.1', '-p', `${DNS_PORT}`, name);
    const metrics = await site.page('/metrics');
    await lab.step('promtool check metrics finds nothing', async () => {
      const { code, stdout, stderr } = await run(['promtool', 'check', 'metrics'], { input: metrics });
      assert.deepEqual([code, `${stdout}${stderr}`], [0, '']);
    });
    await lab.step('it is served as text of version 0.0.4', async () => {
      const { stdout } = await run(
        site.within(['curl', '--silent', '--head', `http://${HTTP_ADDRESS}/metrics`]),
      );
      assert.match(stdout, /^HTTP\/1\.1 200/);
      assert.match(stdout, /^content-type: text\/plain; .*version=0\.0\.4/im);
    });
    const page = join(site.clone, 'docs', 'metrics.md');
    if ((await stat(page).catch(() => undefined)) === undefined) return;
    const described = named(await readFile(page, 'utf8'), /^\| `(outpost_dns_\w+)/gm);
    const served = named(metrics, /^# TYPE (outpost_dns_\w+)/gm);
    await lab.step('every metric of docs/metrics.md is served, and no other of this server', async () => {
      assert.ok(described.length > 20, `the page names ${described.length} metrics`);
      assert.deepEqual(served, described);
    });
    lab.note(
      `${served.length} metrics, ${metrics.split('\n').filter((line) => /^\w/.test(line)).length} series`,
    );
  },
};

function named(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? ''))].sort();
}
