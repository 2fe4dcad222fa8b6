/** The page of the names that this server answers or denies by itself, from the table of the server. */
import { SPECIAL_NAMES, type SpecialName, type SpecialRule } from '../src/protocol/words/special-names.ts';

const SAYS: Readonly<Record<SpecialRule, string>> = {
  loopback: '127.0.0.1 and ::1, for it and every name under it',
  'loopback-ptr': 'PTR `localhost`',
  nothing: 'NXDOMAIN, for it and every name under it',
  empty: 'an empty zone: SOA and NS at its apex, NXDOMAIN under it',
  'no-data': 'a zone with SOA and NS at its apex; an empty answer under it',
};

export function specialNamesPage(): string {
  const never = SPECIAL_NAMES.filter(({ isOfSite }) => !isOfSite);
  const ofSite = SPECIAL_NAMES.filter(({ isOfSite }) => isOfSite);
  return `# Names that are not forwarded

Generated from \`src/protocol/words/special-names.ts\`; change that, then \`npm run generate\`. A zone under \`zones\` for one of these
names, or for a name under it, overrides what is said here. DS at the apex of an empty zone is asked of upstreams, because
validating resolvers need the proof that no zone signs it.

## Never forwarded

| name | answer | because |
|---|---|---|
${never.map(row).join('\n')}

The endpoints of the clusters, \`_status\` under them and the reverse names of their addresses are never forwarded either.

## Forwarded to upstreams on the site

A site may have these names for itself: reverse names of its machines, Active Directory on \`.local\`, a home network. They are asked of
the upstreams that are on the site. A public resolver does not know them, and would learn from the questions which machines
there are. With \`forward.siteNames: auto\`, the default, an upstream is on the site where

- \`drill.onSite\` names its network; with that key set, no other upstream is, or
- its address is private (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7, link-local, loopback), and is not
  Amazon's own resolver (169.254.169.253, fd00:ec2::253), which is no part of the site.

Where no upstream is on the site, these names are denied at once; \`outpost-dns check\` says so.
While upstreams on the site do not answer, the server gives the answers that it keeps, and denies all other names. \`always\` asks every upstream, \`never\` denies at all times. An operator's
zone above such a name, for example \`in-addr.arpa\`, chooses the upstreams for the name.

| name | answer without a query to an upstream | because |
|---|---|---|
${ofSite.map(row).join('\n')}
`;
}

function row({ name, rule, because }: SpecialName): string {
  return `| \`${name}\` | ${SAYS[rule]} | ${because} |`;
}
