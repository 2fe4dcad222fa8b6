/** A site's own DNS servers, each with the protections that drop private addresses, with or without the lines of docs/site.md. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from './commands.ts';
import type { FencedBlock } from './markdown.ts';
import type { Tool } from './tools.ts';
import { unboundCommand } from './unbound.ts';

/** The lines of docs/site.md, and their place. */
export interface Advice {
  readonly block: string;
  /** Settings that the page names in the running text below the block. */
  readonly beside: string;
}

export interface SiteResolver {
  readonly name: string;
  readonly tool: Tool;
  /** The paragraph above the block begins with this word in bold. */
  readonly title: string;
  /** Its address; the port is 53. */
  readonly address: string;
  /** Writes its files into `folder`; without advice it forwards the zone but keeps every protection. */
  readonly configure: (folder: string, advice: Advice | undefined) => Promise<Command>;
  /** Printed once it answers. */
  readonly ready: RegExp;
}

/** Without the page's exceptions each server forwards the zone and has no other setting. */
const FORWARDERS = ['10.0.9.53', '10.0.9.54'];
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'];

export const SITE_RESOLVERS: readonly SiteResolver[] = [
  {
    name: 'named',
    tool: 'named',
    title: 'BIND',
    address: '127.0.0.2',
    ready: /running$/m,
    async configure(folder, advice) {
      const exceptFrom = /except-from \{[^}]*\}/.exec(advice?.beside ?? '')?.[0] ?? '';
      const validateExcept = /validate-except \{[^}]*\};/.exec(advice?.beside ?? '')?.[0] ?? '';
      const zone =
        advice?.block ??
        `zone "eks.amazonaws.com" { type forward; forward only; forwarders { ${FORWARDERS.map((one) => `${one};`).join(' ')} }; };\n`;
      await mkdir(join(folder, 'cache'), { recursive: true });
      const file = join(folder, 'named.conf');
      await writeFile(
        file,
        `options {
    directory "${folder}/cache"; pid-file "${folder}/named.pid"; session-keyfile "${folder}/session.key";
    listen-on port 53 { ${this.address}; }; listen-on-v6 { none; };
    recursion yes; allow-query { any; };
    dnssec-validation auto; ${validateExcept}
    deny-answer-addresses { ${PRIVATE.map((one) => `${one};`).join(' ')} } ${exceptFrom};
};
controls { };
${zone}`,
      );
      return ['named', '-g', '-c', file];
    },
  },
  {
    name: 'unbound',
    tool: 'unbound',
    title: 'Unbound',
    address: '127.0.0.3',
    ready: /start of service/,
    async configure(folder, advice) {
      const zone =
        advice?.block ??
        `forward-zone:\n    name: "eks.amazonaws.com"\n${FORWARDERS.map((one) => `    forward-addr: ${one}\n`).join('')}`;
      return unboundCommand(
        folder,
        `    interface: ${this.address}
    module-config: "validator iterator"
    trust-anchor-file: "/usr/share/dns/root.key"
${PRIVATE.map((one) => `    private-address: ${one}\n`).join('')}${zone}`,
      );
    },
  },
  {
    name: 'dnsmasq',
    tool: 'dnsmasq',
    title: 'dnsmasq',
    address: '127.0.0.4',
    ready: /started/,
    async configure(folder, advice) {
      const zone = advice?.block ?? FORWARDERS.map((one) => `server=/eks.amazonaws.com/${one}\n`).join('');
      const file = join(folder, 'dnsmasq.conf');
      await writeFile(
        file,
        `user=root
pid-file=${folder}/dnsmasq.pid
no-resolv
no-hosts
listen-address=${this.address}
bind-interfaces
stop-dns-rebind
log-facility=-
${zone}`,
      );
      return ['dnsmasq', '--keep-in-foreground', `--conf-file=${file}`];
    },
  },
];

export function adviceFor({ title }: SiteResolver, blocks: readonly FencedBlock[]): Advice {
  const block = blocks.find(({ lead }) => lead.startsWith(`**${title}**`));
  if (block === undefined)
    throw new Error(`docs/site.md has no block below a paragraph that begins with **${title}**`);
  return { block: block.text, beside: block.after };
}
