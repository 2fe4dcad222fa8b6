/**
 * "Point the site at it" of README.md, and "By hand" of docs/site.md: the lab takes each server's lines out of the page and puts them into the real server. The
 * endpoint has to resolve through it with every protection against private addresses and with DNSSEC validation on. Each server
 * starts again for each question, so that none answers from a cache that the cut has not emptied.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab, LabCheck } from './check.ts';
import { Background, eventually, run } from './commands.ts';
import { type DigReply, dig } from './dig.ts';
import { type FencedBlock, fencedBlocks } from './markdown.ts';
import { ADDRESSES, ENDPOINT } from './sandbox-site.ts';
import { type Advice, adviceFor, SITE_RESOLVERS, type SiteResolver } from './site-resolvers.ts';
import { SERVER_ADDRESSES, TwoServers } from './two-servers.ts';

export const behindResolvers: LabCheck = {
  name: 'resolvers',
  about:
    'the endpoint through BIND, Unbound, dnsmasq and resolv.conf, as README.md and docs/site.md say to set them up',
  tools: ['dig', 'ip', 'curl', 'git', 'named', 'unbound', 'dnsmasq'],
  async run(lab) {
    await using site = await TwoServers.start(
      lab.workshop,
      'resolvers',
      SITE_RESOLVERS.map(({ address }) => address),
    );
    const pages = ['README.md', 'docs/site.md'].map((page) => readFile(join(site.clone, page), 'utf8'));
    const blocks = (await Promise.all(pages))
      .flatMap(fencedBlocks)
      .filter(({ language }) => language === 'text');
    site.namespace.setResolvConf(resolvConf(blocks));
    for (const resolver of SITE_RESOLVERS)
      await lab.step(`${resolver.name} without the exceptions of the page drops the addresses`, async () => {
        const { answer } = await ask(lab, site, resolver, undefined, 'A');
        assert.deepEqual(answer, [], 'the protections are not on: the steps below prove nothing');
      });
    await everyWay(lab, site, blocks, 'link up');
    await site.setLink('down');
    await everyWay(lab, site, blocks, 'link cut');
    await site.servers[0]?.end();
    await everyWay(lab, site, blocks, `link cut and ${SERVER_ADDRESSES[0]} gone`);
    lab.note('the Corefile was not tried: Debian has no package of CoreDNS');
  },
};

async function everyWay(
  lab: Lab,
  site: TwoServers,
  blocks: readonly FencedBlock[],
  state: string,
): Promise<void> {
  for (const resolver of SITE_RESOLVERS) {
    await lab.step(`${state}: A and AAAA through ${resolver.name}`, async () => {
      const advice = adviceFor(resolver, blocks);
      const reply = await ask(lab, site, resolver, advice, 'A');
      assert.deepEqual(reply.answer.map(({ data }) => data).sort(), ADDRESSES, reply.text);
      const other = await ask(lab, site, resolver, advice, 'AAAA');
      assert.deepEqual([other.status, other.answer.length], ['NOERROR', 0], other.text);
    });
  }
  await lab.step(`${state}: through resolv.conf and glibc`, async () => {
    const { code, stdout, tookMs } = await run(site.within(['getent', 'ahostsv4', ENDPOINT]));
    assert.equal(code, 0, 'getent finds nothing');
    assert.deepEqual([...new Set(stdout.match(/^[0-9.]+/gm))].sort(), ADDRESSES);
    assert.ok(tookMs < 3000, `it took ${tookMs.toFixed(0)} ms`);
  });
}

/** Starts the server, asks it when it answers, and ends it. */
async function ask(
  lab: Lab,
  site: TwoServers,
  resolver: SiteResolver,
  advice: Advice | undefined,
  type: string,
): Promise<DigReply> {
  const folder = await lab.workshop.room(`resolvers/${resolver.name}`);
  await using server = new Background(site.within(await resolver.configure(folder, advice)));
  await server.printed(resolver.ready);
  // awaited here: the server ends with this function
  return await eventually(`${resolver.name} answers`, 15_000, async () =>
    dig(site.within, `@${resolver.address}`, ENDPOINT, type, '+tries=2', '+timeout=4'),
  );
}

function resolvConf(blocks: readonly FencedBlock[]): string {
  const block = blocks.find(({ lead }) => lead.includes('`/etc/resolv.conf`'));
  if (block === undefined) throw new Error('README.md has no block for /etc/resolv.conf');
  return block.text;
}
