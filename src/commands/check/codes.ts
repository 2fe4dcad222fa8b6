/**
 * The findings of `check`: each code is declared here, once. docs/checks.md is generated from this table. Scripts that read
 * `check --json` rely on the codes, so a code keeps its meaning for ever.
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
  'port-53-taken': {
    severity: 'either',
    finds:
      'Another program holds an address and port of `listen.dns`: all of them (a problem), or some (a warning).',
    why: 'Clients that ask there get the answers of the other program, which knows no endpoint in an outage.',
  },
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
  'resolver-not-us': {
    severity: 'warning',
    finds:
      'The resolver of this host does not ask this server: neither `/etc/resolv.conf` names it, nor does the resolver that it names.',
    why: 'Programs on this host do not find the endpoint in an outage.',
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
  'state-not-durable': {
    severity: 'either',
    finds:
      'The state directory is on a file system that a restart empties (tmpfs, a problem), or in the upper layer of a container (overlay, a warning).',
    why: 'A power cut, or a new container, takes the addresses away. In an outage the server cannot learn them again.',
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
  'state-behind-server': {
    severity: 'problem',
    finds: 'The running server serves addresses that the state on disk does not have.',
    why: 'After a restart in an outage the server answers with the older addresses.',
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
  'pinned-by-command': {
    severity: 'warning',
    finds: 'The command `pin` pins the addresses of an endpoint for a time.',
    why: 'The server answers with the pin until it ends, even after the real addresses have changed.',
  },
} as const;

const aws = {
  'permission-denied': {
    severity: 'problem',
    finds: 'AWS denies a call that a source makes. The fix is the exact statement that the policy lacks.',
    why: 'The source never confirms an address. A change of the addresses before the outage is not noticed.',
  },
  'credentials-missing': {
    severity: 'problem',
    finds: 'No provider has credentials for AWS, or a file of theirs cannot be read.',
    why: 'The server learns from DNS alone. A change that DNS does not show is not noticed before the outage.',
  },
  'credentials-expired': {
    severity: 'problem',
    finds: 'The credentials, or the certificate of IAM Roles Anywhere behind them, have ended.',
    why: 'The server learns from DNS alone. A change that DNS does not show is not noticed before the outage.',
  },
  'credentials-refused': {
    severity: 'problem',
    finds: 'AWS does not accept the credentials.',
    why: 'The server learns from DNS alone. A change that DNS does not show is not noticed before the outage.',
  },
  'credentials-ending': {
    severity: 'warning',
    finds:
      'The credentials, or the certificate of IAM Roles Anywhere behind them, end within 30 days, or nothing renews them.',
    why: 'An outage may outlast them. Afterwards the server cannot ask AWS before a person has renewed them.',
  },
  'clock-wrong': {
    severity: 'problem',
    finds: 'The clock of this host is more than 60 s away from the clock of AWS.',
    why: 'AWS refuses signed requests of a clock that is off by 5 minutes. In an outage the clock drifts further, and certificates seem to have ended.',
  },
  'proxy-needed': {
    severity: 'problem',
    finds:
      'AWS cannot be reached directly, and other programs of this host use a proxy that the server does not know.',
    why: 'The server learns nothing. After the next restart it knows only what was kept.',
  },
  'proxy-refused': {
    severity: 'problem',
    finds: 'A proxy or a portal refuses, or answers in place of AWS.',
    why: 'The server learns nothing from AWS. A change of the addresses before the outage is not noticed.',
  },
  'authority-unknown': {
    severity: 'problem',
    finds:
      'The certificate that AWS shows is signed by an authority that this host does not trust, as behind a proxy that intercepts TLS.',
    why: 'The server learns nothing from AWS. A change of the addresses before the outage is not noticed.',
  },
  'aws-unreachable': {
    severity: 'warning',
    finds: 'AWS cannot be reached now.',
    why: 'During an outage this is expected. Before it, the server learns nothing.',
  },
  'cluster-not-found': {
    severity: 'problem',
    finds: 'AWS knows no such cluster, hosted zone or name.',
    why: 'The server keeps a name that no client asks for.',
  },
  'source-failing': {
    severity: 'warning',
    finds: 'A source fails for another reason.',
    why: 'The addresses are confirmed by fewer sources.',
  },
} as const;

const upstreams = {
  'upstream-silent': {
    severity: 'either',
    finds:
      'An upstream does not answer: all of them while AWS can be reached (a problem), or some (a warning).',
    why: 'Other upstreams carry its queries while they answer. Without any, the server forwards nothing and learns nothing from DNS.',
  },
  'upstream-slow': {
    severity: 'warning',
    finds: 'An upstream takes more than 500 ms to answer.',
    why: 'Each new name waits as long. Clients may give up, and ask again.',
  },
  'upstream-refuses': {
    severity: 'warning',
    finds:
      'An upstream answers REFUSED, SERVFAIL or the like for the endpoint, or denies it before any address is known.',
    why: 'This upstream cannot confirm an address.',
  },
  'upstream-filters-private': {
    severity: 'problem',
    finds:
      'An upstream answers without the private addresses of the endpoint, as protection against DNS rebinding does.',
    why: 'Clients that ask this upstream do not find the cluster. The server cannot confirm the addresses by name.',
  },
  'upstream-forwards-back': {
    severity: 'problem',
    finds: 'An upstream forwards the endpoint to an outpost-dns.',
    why: 'Its answer is the own answer of that server. It confirms old addresses for ever.',
  },
  'upstream-public': {
    severity: 'warning',
    finds: 'A default upstream is a public resolver.',
    why: 'It knows no name of the site and no private hosted zone, and denies them. Clients believe the denial.',
  },
} as const;

const addresses = {
  'sources-disagree': {
    severity: 'warning',
    finds: 'The sources give different addresses for an endpoint.',
    why: 'One of them is wrong. In an outage nothing tells which.',
  },
  'interfaces-doubtful': {
    severity: 'warning',
    finds: 'No network interface has the exact description of the cluster, so a similar description is used.',
    why: 'The interfaces may belong to another cluster.',
  },
  'customer-owned-addresses': {
    severity: 'warning',
    finds: 'The interfaces of the cluster have customer-owned addresses (CoIP) beside their private ones.',
    why: 'Machines outside the Outpost may reach the cluster at the customer-owned addresses alone.',
  },
  'address-refused': {
    severity: 'either',
    finds:
      'A server with another certificate answers at an address of the endpoint. The address is served, because none is proven (a problem), or it is withheld (a warning).',
    why: 'Clients connect to a machine that is not the API server.',
  },
  'address-not-proven': {
    severity: 'warning',
    finds: 'No TLS handshake has proven that the API server answers at an address.',
    why: 'The address may belong to another machine by the time of the outage.',
  },
  'address-dead': {
    severity: 'warning',
    finds: 'An address of the endpoint does not answer.',
    why: 'Clients that try it first wait for a timeout.',
  },
} as const;

const kubeconfig = {
  'kubeconfig-unusable': {
    severity: 'problem',
    finds: 'The kubeconfig cannot be read, or has no usable context.',
    why: '`kubectl` does not start with it.',
  },
  'kubeconfig-names-address': {
    severity: 'problem',
    finds: 'The kubeconfig names an address in place of the endpoint.',
    why: 'When the address moves, `kubectl` does not find the cluster, and this server cannot help.',
  },
  'kubeconfig-other-endpoint': {
    severity: 'warning',
    finds: 'The kubeconfig names a server that is no endpoint of this configuration.',
    why: 'In an outage nobody resolves the name.',
  },
  'kubeconfig-needs-aws': {
    severity: 'problem',
    finds: 'The user of the kubeconfig gets a token from AWS, as with `aws eks get-token`.',
    why: 'In an outage there is no token, and `kubectl` does not get in.',
  },
  'kubeconfig-cluster-id': {
    severity: 'problem',
    finds:
      'The command for the token names the cluster by `--cluster-id`, and the instance-store generation needs `--cluster-name`.',
    why: 'The token is not accepted, connected or not.',
  },
  'kubeconfig-certificate-ends': {
    severity: 'either',
    finds: 'The client certificate has ended (a problem), or ends within 30 days (a warning).',
    why: 'An outage may outlast it. A certificate that has ended lets nobody in.',
  },
  'kubeconfig-refused': {
    severity: 'problem',
    finds: 'The API server answered one request of the user, and does not accept the user.',
    why: '`kubectl` does not get in, connected or not.',
  },
  'kubeconfig-unanswered': {
    severity: 'problem',
    finds: 'No API server answered the request.',
    why: '`kubectl` does not reach the cluster from this host.',
  },
} as const;

const secondServer = {
  'second-server-unreachable': {
    severity: 'problem',
    finds: 'The second server does not give its status.',
    why: 'When this server fails in an outage, nobody answers.',
  },
  'second-server-differs': {
    severity: 'problem',
    finds: 'The second server has other addresses for an endpoint, or does not know it.',
    why: 'Clients get one answer or the other, and one of them is wrong.',
  },
  'second-server-older': {
    severity: 'warning',
    finds: 'The second server confirmed an endpoint much earlier than this one.',
    why: 'It enters the outage with older addresses.',
  },
  'second-server-version': {
    severity: 'warning',
    finds: 'The second server has another version.',
    why: 'The two may answer differently.',
  },
} as const;

const cut = {
  'cut-endpoint-fails': {
    severity: 'problem',
    finds: 'The running server would not answer an endpoint in a cut.',
    why: 'Nobody finds the cluster.',
  },
  'cut-retained-name-fails': {
    severity: 'problem',
    finds: 'The running server would not answer a retained name in a cut.',
    why: 'The programs of the site that need the name fail.',
  },
  'cut-name-fails': {
    severity: 'warning',
    finds:
      'The running server keeps no usable answer for a name that clients asked for in the last day. Names that a rule fails on purpose, such as services of AWS, are left out.',
    why: 'The programs that ask for the name get SERVFAIL in a cut.',
  },
  'cut-not-rehearsed': {
    severity: 'problem',
    finds: 'No server runs that could rehearse the cut, or this user may not ask it.',
    why: 'Nobody knows which names fail in a cut.',
  },
} as const;

export const CODE_GROUPS = [
  { title: 'This host', codes: thisHost },
  { title: 'State', codes: state },
  { title: 'AWS', codes: aws },
  { title: 'Upstream servers', codes: upstreams },
  { title: 'Endpoints', codes: endpoints },
  { title: 'Addresses', codes: addresses },
  { title: 'Configuration', codes: configuration },
  { title: 'A kubeconfig: `--kubeconfig FILE`', codes: kubeconfig },
  { title: 'A second server: `--against ADDRESS`', codes: secondServer },
  { title: 'A cut, rehearsed: `--as-if-cut`', codes: cut },
] as const satisfies readonly CodeGroup[];

export const CODES = {
  ...thisHost,
  ...state,
  ...aws,
  ...upstreams,
  ...endpoints,
  ...addresses,
  ...configuration,
  ...kubeconfig,
  ...secondServer,
  ...cut,
} as const;

export type Code = keyof typeof CODES;
