/** The status page in Chromium as a person sees it: connected, in a drill, cut off, without the server, and ten pages at once. */
import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import type { Lab, LabCheck } from './check.ts';
import { run } from './commands.ts';
import { ADDRESSES, DNS_PORT, ENDPOINT, HTTP_ADDRESS, SandboxSite } from './sandbox-site.ts';

const PAGE = `http://${HTTP_ADDRESS}/`;
const OPTIONS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
];
/** The server tells the page every 5 s; it has to notice a change itself first. */
const PATIENCE_MS = 60_000;
const QUERIES = 300;

export const statusPageCheck: LabCheck = {
  name: 'page',
  about: 'the status page in Chromium: connected, in a drill, cut off, without a server; read by axe-core',
  tools: ['chromium', 'dig', 'ip', 'curl', 'git'],
  async run(lab) {
    await using site = await SandboxSite.start(lab.workshop, 'page');
    await site.untilLearned();
    const browser = await launch(lab, site);
    try {
      await connectedToGone(lab, site, browser);
    } finally {
      await browser.close();
    }
  },
};

/** Chromium where the server is: in its network. */
async function launch(lab: Lab, site: SandboxSite): Promise<Browser> {
  const program = join(await lab.workshop.room('page'), 'chromium');
  await writeFile(program, `#!/bin/sh\nexec ${site.within(['chromium']).join(' ')} "$@"\n`);
  await chmod(program, 0o755);
  return chromium.launch({ executablePath: program, args: OPTIONS });
}

async function connectedToGone(lab: Lab, site: SandboxSite, browser: Browser): Promise<void> {
  const page = await browser.newPage({ viewport: { width: 1000, height: 900 } });
  const faults: string[] = [];
  const asked = new Set<string>();
  page.on('console', (message) => faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('request', (request) => asked.add(request.url()));
  await page.goto(PAGE);
  await lab.step('ready, connected, and the addresses of the endpoint', async () => {
    const text = await page.innerText('main');
    assert.match(text, /outpost-dns ready/);
    assert.match(text, new RegExp(`${ENDPOINT.toLowerCase()}`));
    for (const address of ADDRESSES) assert.ok(text.includes(address), address);
    await waitFor(page, /Link connected/);
    await page.screenshot({ path: await lab.workshop.reportFile('page-connected.png'), fullPage: true });
  });
  await lab.step('axe-core finds nothing, in light and in dark', async () => {
    for (const colorScheme of ['dark', 'light'] as const) {
      await page.emulateMedia({ colorScheme });
      assert.deepEqual(await violations(page), [], colorScheme);
    }
  });
  await lab.step('the timeline is reached and filtered with the keyboard alone', async () => {
    await page.locator('#events li').first().waitFor({ timeout: PATIENCE_MS });
    const all = await page.locator('#events li:visible').count();
    await page.locator('#filter input').focus();
    await page.keyboard.type('server 0.');
    const found = await page.locator('#events li:visible').count();
    assert.ok(found >= 1 && found < all, `${found} of ${all} events`);
    await page.keyboard.press('Control+A');
    await page.keyboard.press('Delete');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate('document.activeElement.id'), 'events');
  });
  await lab.step('it shows a drill without a reload, and its end', async () => {
    await site.drill('start', '--for', '10m');
    await waitFor(page, /Link disconnected/);
    await waitFor(page, /drill started/);
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: await lab.workshop.reportFile('page-drill.png'), fullPage: true });
    await site.drill('stop');
    await waitFor(page, /Link connected/);
  });
  await lab.step('it fits a telephone', async () => {
    await page.setViewportSize({ width: 380, height: 800 });
    const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
    assert.ok(Number(overflow) <= 0, `${overflow} pixels too wide`);
    await page.setViewportSize({ width: 1000, height: 900 });
  });
  await lab.step('it shows the cut without a reload', async () => {
    await site.command('/link', { state: 'down' });
    await waitFor(page, /Link disconnected/);
    assert.match(await page.innerText('main'), /outpost-dns ready/);
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: await lab.workshop.reportFile('page-cut.png'), fullPage: true });
  });
  await lab.step('on a telephone no column is so narrow that a reason stands upright', async () => {
    await page.setViewportSize({ width: 380, height: 800 });
    const narrow = await page.evaluate(`[...document.querySelectorAll('#panels td')]
      .filter((cell) => cell.textContent.length > 20 && cell.clientWidth < 80)
      .map((cell) => cell.clientWidth + ' pixels: ' + cell.textContent)`);
    assert.deepEqual(narrow, []);
    await page.setViewportSize({ width: 1000, height: 900 });
  });
  await lab.step('ten of them open: no query goes without its answer', async () => {
    for (let more = 0; more < 9; more++) await (await browser.newPage()).goto(PAGE);
    const queries = Array.from({ length: QUERIES }, () => `${ENDPOINT} A`).join('\n');
    const dig = ['dig', '@127.0.0.1', '-p', `${DNS_PORT}`, '+tries=1', '+timeout=2', '-f', '-'] as const;
    const { stdout } = await run(site.within([...dig]), { input: `${queries}\n` });
    assert.equal(stdout.match(/status: NOERROR/g)?.length, QUERIES);
    const times = [...stdout.matchAll(/Query time: (\d+) msec/g)].map((match) => Number(match[1]));
    times.sort((a, b) => a - b);
    lab.note(
      `${QUERIES} queries beside ten pages: median ${times[QUERIES / 2]} ms, slowest ${times.at(-1)} ms`,
    );
  });
  await lab.step('it made no request to another host, and had no error', async () => {
    assert.deepEqual([...asked].sort(), [PAGE, `${PAGE}live`]);
    assert.deepEqual(faults, []);
  });
  await lab.step('it says that a server is gone', async () => {
    process.kill(-site.npmStart.pid, 'SIGINT');
    await page.waitForSelector('#silent:not([hidden])', { timeout: PATIENCE_MS });
    assert.match(await page.innerText('#silent'), /^Connection lost\. The data below is of /);
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: await lab.workshop.reportFile('page-gone.png'), fullPage: true });
  });
}

/** What axe-core finds: rule, and the first element. A page that is gone is dimmed on purpose: its contrast is not asked for. */
async function violations(page: Page): Promise<readonly string[]> {
  await page.evaluate(await readFile(createRequire(import.meta.url).resolve('axe-core'), 'utf8'));
  return page.evaluate(`axe.run(document, document.body.classList.contains('old') ? { rules: { 'color-contrast': { enabled: false } } } : {})
    .then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes[0].html))`);
}

async function waitFor(page: Page, text: RegExp): Promise<void> {
  await page.getByText(text).first().waitFor({ timeout: PATIENCE_MS });
}
