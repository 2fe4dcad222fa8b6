/**
 * The findings of `check`: each code is declared here, once. docs/checks.md is generated from this table, and a script that reads
 * `check --json` may rely on the codes: a code keeps its meaning for ever.
 *
 * A problem: in an outage a query gets no answer or a wrong answer, or the site cannot use the answer. A warning: the site
 * survives, but a person should read the finding. A code can be both, where its severity depends on what `check` sees.
 */

export interface CodeRow {
  readonly severity: 'problem' | 'warning' | 'either';
  /** When `check` reports the finding. */
  readonly finds: string;
  /** What happens in an outage. */
  readonly why: string;
}

export interface CodeGroup {
  readonly title: string;
  readonly codes: Readonly<Record<string, CodeRow>>;
}

const configuration = {
  'pinned-in-configuration': {
    severity: 'warning',
    finds: 'The configuration pins the addresses of a cluster.',
    why: 'The server answers with the pin, even after the real addresses have changed.',
  },
  'single-upstream': {
    severity: 'warning',
    finds: 'The configuration has one upstream.',
    why: 'While this upstream is down, the server forwards no query, connected or not.',
  },
  'site-names-denied': {
    severity: 'warning',
    finds: 'No upstream is on the site, and names that may exist on the site alone have no zone.',
    why: 'The server denies these names, in an outage and before it.',
  },
} as const;

const thisHost = {
  'hosts-file-contradicts': {
    severity: 'problem',
    finds: 'A line of `/etc/hosts` gives an endpoint an address that the endpoint does not have.',
    why: 'The line wins over DNS on this host, and nothing corrects it: programs here connect to a wrong address.',
  },
  'hosts-file-names-endpoint': {
    severity: 'warning',
    finds: 'A line of `/etc/hosts` gives an endpoint an address that is right today.',
    why: 'The line wins over DNS on this host. It becomes wrong with the next change of the addresses.',
  },
  'hosts-file-unreadable': {
    severity: 'warning',
    finds: '`/etc/hosts` cannot be read.',
    why: 'A line in it may give an endpoint a wrong address.',
  },
} as const;

const state = {
  'state-directory-missing': {
    severity: 'problem',
    finds: 'The state directory does not exist.',
    why: 'After a restart in an outage the server knows no endpoint.',
  },
  'state-directory-unusable': {
    severity: 'problem',
    finds: 'The state directory is not a directory.',
    why: 'The server keeps nothing: after a restart in an outage it knows no endpoint.',
  },
  'state-directory-unreadable': {
    severity: 'problem',
    finds: 'This user cannot read the state directory.',
    why: 'Nobody knows whether the state is enough for a restart in an outage.',
  },
  'state-not-writable': {
    severity: 'either',
    finds: 'The state directory cannot be written: by its owner (a problem), or by this user (a warning).',
    why: 'New addresses do not survive a restart.',
  },
  'state-missing': {
    severity: 'problem',
    finds: 'The state directory holds no saved endpoints.',
    why: 'After a restart in an outage the server knows no endpoint.',
  },
  'state-file-unusable': {
    severity: 'either',
    finds: 'A state file cannot be used: corrupt, foreign, of a newer version, or not readable.',
    why: 'Without a second generation of the file, the server starts without any endpoint.',
  },
  'state-previous-generation': {
    severity: 'warning',
    finds: 'The server would start from the previous generation of the state.',
    why: 'The addresses in it may be older than the last change.',
  },
  'state-other-writer': {
    severity: 'problem',
    finds: 'Another process holds the state directory of the running server.',
    why: 'The running server saves nothing: after a restart it knows what the other process saved.',
  },
  'state-in-the-future': {
    severity: 'warning',
    finds: 'The state was written at a time that this host has not reached.',
    why: 'The clock of this host is wrong, or was. AWS refuses requests of a wrong clock, and ages here are wrong.',
  },
  'retained-unreadable': {
    severity: 'warning',
    finds: 'The file of retained answers cannot be read.',
    why: 'Nobody knows whether retained names survive a restart in an outage.',
  },
  'retained-name-missing': {
    severity: 'problem',
    finds: 'No answer was ever kept for a name in `retain`.',
    why: 'In an outage the server has no answer for this name.',
  },
} as const;

const endpoints = {
  'cluster-unknown': {
    severity: 'problem',
    finds: 'The state has no record of a cluster.',
    why: 'In an outage the server does not know its endpoint.',
  },
  'endpoint-name-unknown': {
    severity: 'problem',
    finds: 'The name of the endpoint is neither configured nor learned.',
    why: 'The server cannot answer for a name that it does not know.',
  },
  'endpoint-without-addresses': {
    severity: 'problem',
    finds: 'No address of an endpoint is known.',
    why: 'In an outage the server has no answer for this endpoint.',
  },
  'endpoint-renamed': {
    severity: 'warning',
    finds: 'The kept addresses were learned for another name of the endpoint.',
    why: 'They may belong to another cluster.',
  },
  'endpoint-not-described': {
    severity: 'warning',
    finds: 'The configured endpoint is not the endpoint in DescribeCluster.',
    why: 'Clients ask for the name that AWS gave them. The certificate of the API server has no other name.',
  },
  'addresses-old': {
    severity: 'either',
    finds:
      'No source has confirmed the addresses for an hour, a week (both warnings), or 30 days (a problem).',
    why: 'The addresses never expire, but they may have changed meanwhile.',
  },
  'change-held': {
    severity: 'warning',
    finds: 'A suspicious change of the addresses is held back.',
    why: 'If the change is right, the server answers with old addresses until it is adopted.',
  },
} as const;

export const CODE_GROUPS = [
  { title: 'This host', codes: thisHost },
  { title: 'State', codes: state },
  { title: 'Endpoints', codes: endpoints },
  { title: 'Configuration', codes: configuration },
] as const satisfies readonly CodeGroup[];

export const CODES = { ...thisHost, ...state, ...endpoints, ...configuration } as const;

export type Code = keyof typeof CODES;
