/** Prometheus: its own check of `/metrics` and of the alert rules, and the alerts as a running Prometheus raises them in a drill and in a cut. */
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ALERTS, rulesFile } from '../scripts/monitoring/alerts.ts';
import type { Lab, LabCheck } from './check.ts';
import { Background, eventually, must, run } from './commands.ts';
import { dig } from './dig.ts';
import { DNS_PORT, ENDPOINT, HTTP_ADDRESS, SandboxSite } from './sandbox-site.ts';

export const prometheus: LabCheck = {
  name: 'prometheus',
  about:
    '/metrics and the alert rules as promtool reads them, and the alerts of a running Prometheus in a drill and a cut',
  tools: ['promtool', 'prometheus', 'dig', 'ip', 'curl', 'git'],
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
    await lab.step('promtool finds nothing in the alert rules, and their unit tests hold', async () => {
      const folder = join(site.clone, 'config', 'prometheus');
      await must(['promtool', 'check', 'rules', join(folder, 'outpost-dns.rules.yaml')]);
      await must(['promtool', 'test', 'rules', join(folder, 'outpost-dns.test.yaml')]);
    });
    await alertsOfACut(lab, site);
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

const PROMETHEUS = '127.0.0.1:9090';
/** Prometheus evaluates every second; the server notices a cut within some ten seconds. A busy machine takes longer. */
const PATIENCE_MS = 90_000;
const LINK_DOWN = 'OutpostDnsLinkDown';

/** A real Prometheus scrapes the running server. Its rules are those that are delivered, except for the time that a condition lasts. */
async function alertsOfACut(lab: Lab, site: SandboxSite): Promise<void> {
  const room = await lab.workshop.room('prometheus-data');
  await writeFile(join(room, 'rules.yaml'), rulesFile(ALERTS, '1s'));
  await writeFile(join(room, 'prometheus.yaml'), CONFIG);
  await using program = new Background(
    site.within([
      'prometheus',
      `--config.file=${join(room, 'prometheus.yaml')}`,
      `--storage.tsdb.path=${join(room, 'data')}`,
      `--web.listen-address=${PROMETHEUS}`,
    ]),
  );
  const query = async (expr: string): Promise<readonly Sample[]> => {
    const asked = `http://${PROMETHEUS}/api/v1/query`;
    const words = [
      'curl',
      '--silent',
      '--fail',
      '--get',
      '--data-urlencode',
      `query=${expr}`,
      asked,
    ] as const;
    const answer: { data: { result: readonly Sample[] } } = JSON.parse(await must(site.within([...words])));
    return answer.data.result;
  };
  const holds = async (expr: string) => ((await query(expr)).length > 0 ? true : undefined);
  const firing = `ALERTS{alertname="${LINK_DOWN}",alertstate="firing"}`;
  const until = (what: string, expr: string) => eventually(what, PATIENCE_MS, () => holds(expr));
  const cut = 'outpost_dns_link_connected{side="summary"} == 0';
  await lab.step('a running Prometheus scrapes the server, and no alert about a cut fires', async () => {
    await until('the server is scraped', 'outpost_dns_link_connected{side="summary"} == 1');
    assert.deepEqual(await query(firing), []);
    assert.equal(program.hasEnded, false);
  });
  await lab.step('a drill raises no alert', async () => {
    await site.drill('start', '--for', '10m');
    await until('the drill is scraped', `${cut} and on (instance) outpost_dns_drill_running == 1`);
    await until('rules were evaluated since', 'count_over_time((outpost_dns_drill_running == 1)[1m:1s]) > 5');
    await site.drill('stop');
    await until('its end is scraped', 'outpost_dns_drill_running == 0');
    assert.deepEqual(await query(`max_over_time(ALERTS{alertname="${LINK_DOWN}"}[5m])`), []);
  });
  await lab.step('a cut raises the alert', async () => {
    await site.command('/link', { state: 'down' });
    await until('the alert fires', firing);
    const others = await query(
      'ALERTS{alertname=~"OutpostDns(Credentials.*|RegionDown)",alertstate="firing"}',
    );
    assert.deepEqual(others, [], 'a cut is no trouble with credentials, and not of one region');
  });
  await lab.step('the return of the link ends it', async () => {
    await site.command('/link', { state: 'up' });
    await until('the alert is over', `${cut.replace('== 0', '== 1')} unless on (instance) ${firing}`);
  });
}

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
}

const CONFIG = `
global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
rule_files: [rules.yaml]
scrape_configs:
  - job_name: outpost-dns
    static_configs: [{ targets: ['${HTTP_ADDRESS}'] }]
`;

function named(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? ''))].sort();
}
