/**
 * The findings of `check`: each code is declared here, once. docs/checks.md is generated from this table. Scripts that read
 * `check --json` rely on the codes, so a code keeps its meaning for ever.
 *
 * A problem: in an outage a query gets no answer or a wrong answer, or the site cannot use the answer. A warning: the site
 * survives, but a person should read the finding. A code can be both, where its severity depends on what `check` sees.
 */

/** `finds`: when `check` reports the finding; `why`: what happens in an outage. */
const rowOf =
  <const Severity extends string>(severity: Severity) =>
  (finds: string, why: string) => ({ severity, finds, why });

const [problem, warning, either] = [rowOf('problem'), rowOf('warning'), rowOf('either')];

const configuration = {
  'pinned-in-configuration': warning(
    'The configuration pins the addresses of a cluster.',
    'The server answers with the pin, even after the real addresses have changed.',
  ),
  'single-upstream': warning(
    'The configuration has one upstream.',
    'While this upstream is down, the server forwards no query, connected or not.',
  ),
  'site-names-denied': warning(
    'No upstream is on the site, and names that may exist on the site alone have no zone.',
    'The server denies these names, in an outage and before it.',
  ),
};

const thisHost = {
  'port-53-taken': either(
    'Another program holds an address and port of `listen.dns`: all of them (a problem), or some (a warning).',
    'Clients that ask there get the answers of the other program, which knows no endpoint in an outage.',
  ),
  'hosts-file-contradicts': problem(
    'A line of `/etc/hosts` gives an endpoint an address that the endpoint does not have.',
    'The line wins over DNS on this host, and nothing corrects it: programs here connect to a wrong address.',
  ),
  'hosts-file-names-endpoint': warning(
    'A line of `/etc/hosts` gives an endpoint an address that is right today.',
    'The line wins over DNS on this host. It becomes wrong with the next change of the addresses.',
  ),
  'hosts-file-unreadable': warning(
    '`/etc/hosts` cannot be read.',
    'A line in it may give an endpoint a wrong address.',
  ),
  'resolver-not-us': warning(
    'The resolver of this host does not ask this server: neither `/etc/resolv.conf` names it, nor does the resolver that it names.',
    'Programs on this host do not find the endpoint in an outage.',
  ),
};

const state = {
  'state-directory-missing': problem(
    'The state directory does not exist.',
    'After a restart in an outage the server knows no endpoint.',
  ),
  'state-directory-unusable': problem(
    'The state directory is not a directory.',
    'The server keeps nothing: after a restart in an outage it knows no endpoint.',
  ),
  'state-directory-unreadable': either(
    'This user cannot read the state directory: a problem, or a warning where only rights are missing and the server runs.',
    'Nobody knows whether the state is enough for a restart in an outage.',
  ),
  'state-not-writable': either(
    'The state directory cannot be written: by its owner (a problem), or by this user (a warning).',
    'New addresses do not survive a restart.',
  ),
  'state-not-durable': either(
    'The state directory is on a file system that a restart empties (tmpfs, a problem), or in the upper layer of a container (overlay, a warning).',
    'A power cut, or a new container, takes the addresses away. In an outage the server cannot learn them again.',
  ),
  'state-missing': problem(
    'The state directory holds no saved endpoints.',
    'After a restart in an outage the server knows no endpoint.',
  ),
  'state-file-unusable': either(
    'A state file cannot be used: corrupt, foreign, of a newer version, or not readable.',
    'Without a second generation of the file, the server starts without any endpoint.',
  ),
  'state-previous-generation': warning(
    'The server would start from the previous generation of the state.',
    'The addresses in it may be older than the last change.',
  ),
  'state-behind-server': problem(
    'The running server serves addresses that the state on disk does not have.',
    'After a restart in an outage the server answers with the older addresses.',
  ),
  'state-other-writer': problem(
    'Another process holds the state directory of the running server.',
    'The running server saves nothing: after a restart it knows what the other process saved.',
  ),
  'state-not-saved': problem(
    'The running server cannot save the endpoints.',
    'After a restart in an outage it answers with older addresses, or with none.',
  ),
  'configuration-not-loaded': problem(
    'The running server does not know a cluster of the configuration.',
    'It answers nothing for that cluster until it is reloaded.',
  ),
  'server-not-ready': problem(
    'The running server has no address for an endpoint, or does not know its name.',
    'It answers SERVFAIL in an outage, and now, too, where it knows the name.',
  ),
  'server-faults': warning(
    'The running server could not use a file of its state, or cannot take commands.',
    'It may know less than before its last start, or nobody can pin an address.',
  ),
  'replies-not-sent': problem(
    'The operating system does not send replies of the running server.',
    'To clients the server seems down.',
  ),
  'state-in-the-future': warning(
    'The state was written at a time that this host has not reached.',
    'The clock of this host is wrong, or was. AWS refuses requests of a wrong clock, and ages here are wrong.',
  ),
  'retained-unreadable': warning(
    'The file of retained answers cannot be read.',
    'Nobody knows whether retained names survive a restart in an outage.',
  ),
  'retained-name-missing': problem(
    'No answer was ever kept for a name in `retain`.',
    'In an outage the server has no answer for this name.',
  ),
};

const endpoints = {
  'cluster-unknown': problem(
    'The state has no record of a cluster.',
    'In an outage the server does not know its endpoint.',
  ),
  'endpoint-name-unknown': problem(
    'The name of the endpoint is neither configured nor learned.',
    'The server cannot answer for a name that it does not know.',
  ),
  'endpoint-without-addresses': problem(
    'No address of an endpoint is known.',
    'In an outage the server has no answer for this endpoint.',
  ),
  'endpoint-renamed': warning(
    'The kept addresses were learned for another name of the endpoint.',
    'They may belong to another cluster.',
  ),
  'endpoint-not-described': warning(
    'The configured endpoint is not the endpoint in DescribeCluster.',
    'Clients ask for the name that AWS gave them. The certificate of the API server has no other name.',
  ),
  'addresses-old': either(
    'No source has confirmed the addresses for an hour, a week (both warnings), or 30 days (a problem).',
    'The addresses never expire, but they may have changed meanwhile.',
  ),
  'change-held': warning(
    'A suspicious change of the addresses is held back.',
    'If the change is right, the server answers with old addresses until it is adopted.',
  ),
  'pinned-by-command': warning(
    'The command `pin` pins the addresses of an endpoint for a time.',
    'The server answers with the pin until it ends, even after the real addresses have changed.',
  ),
};

const aws = {
  'permission-denied': problem(
    'AWS denies a call that a source makes. The fix is the exact statement that the policy lacks, or the policy that denies.',
    'The source never confirms an address. A change of the addresses before the outage is not noticed.',
  ),
  'credentials-missing': problem(
    'No provider has credentials for AWS, or a file of theirs cannot be read.',
    'The server learns from DNS alone. A change that DNS does not show is not noticed before the outage.',
  ),
  'credentials-expired': problem(
    'The credentials, or the certificate of IAM Roles Anywhere behind them, have ended.',
    'The server learns from DNS alone. A change that DNS does not show is not noticed before the outage.',
  ),
  'credentials-refused': problem(
    'AWS does not accept the credentials.',
    'The server learns from DNS alone. A change that DNS does not show is not noticed before the outage.',
  ),
  'credentials-ending': warning(
    'The credentials, or the certificate of IAM Roles Anywhere behind them, end within 30 days, or nothing renews them.',
    'An outage may outlast them. Afterwards the server cannot ask AWS before a person has renewed them.',
  ),
  'clock-wrong': problem(
    'The clock of this host is more than 60 s away from the clock of AWS.',
    'AWS refuses signed requests of a clock that is off by 5 minutes. In an outage the clock drifts further, and certificates seem to have ended.',
  ),
  'proxy-needed': problem(
    'AWS cannot be reached directly, and other programs of this host use a proxy that the server does not know.',
    'The server learns nothing. After the next restart it knows only what was kept.',
  ),
  'proxy-refused': problem(
    'A proxy or a portal refuses, or answers in place of AWS.',
    'The server learns nothing from AWS. A change of the addresses before the outage is not noticed.',
  ),
  'authority-unknown': problem(
    'The certificate that AWS shows is signed by an authority that this host does not trust, as behind a proxy that intercepts TLS.',
    'The server learns nothing from AWS. A change of the addresses before the outage is not noticed.',
  ),
  'aws-unreachable': warning(
    'AWS cannot be reached now.',
    'During an outage this is expected. Before it, the server learns nothing.',
  ),
  'cluster-not-found': problem(
    'AWS knows no such cluster, hosted zone or name.',
    'The server keeps a name that no client asks for.',
  ),
  'source-failing': warning(
    'A source fails for another reason.',
    'The addresses are confirmed by fewer sources.',
  ),
};

const upstreams = {
  'upstream-silent': either(
    'An upstream does not answer: all of them while AWS can be reached (a problem), or some (a warning).',
    'Other upstreams carry its queries while they answer. Without any, the server forwards nothing and learns nothing from DNS.',
  ),
  'upstream-one-transport': warning(
    'An upstream answers over UDP alone, or over TCP alone.',
    'Without TCP, large answers fail. Without UDP, each query waits longer.',
  ),
  'upstream-drops-edns': warning(
    'An upstream answers over UDP, but drops questions with EDNS, as some firewalls do.',
    'Where it drops them over TCP too, the server asks without EDNS: without DNSSEC, and over TCP for answers of more than 512 octets. The server takes some seconds to notice that.',
  ),
  'upstream-slow': warning(
    'An upstream takes more than 500 ms to answer.',
    'Each new name waits as long. Clients may give up, and ask again.',
  ),
  'upstream-refuses': warning(
    'An upstream answers REFUSED, SERVFAIL or the like for the endpoint, or denies it before any address is known.',
    'This upstream cannot confirm an address.',
  ),
  'upstream-filters-private': problem(
    'An upstream answers without the private addresses of the endpoint, as protection against DNS rebinding does.',
    'Clients that ask this upstream do not find the cluster. The server cannot confirm the addresses by name.',
  ),
  'upstream-forwards-back': problem(
    'An upstream forwards the endpoint to an outpost-dns.',
    'Its answer is the own answer of that server. It confirms old addresses for ever.',
  ),
  'upstream-public': warning(
    'A default upstream is a public resolver.',
    'It knows no name of the site and no private hosted zone, and denies them. Clients believe the denial.',
  ),
};

const addresses = {
  'sources-disagree': warning(
    'The sources give different addresses for an endpoint.',
    'One of them is wrong. In an outage nothing tells which.',
  ),
  'interfaces-doubtful': warning(
    'No network interface has the exact description of the cluster, so a similar description is used.',
    'The interfaces may belong to another cluster.',
  ),
  'customer-owned-addresses': warning(
    'The interfaces of the cluster have customer-owned addresses (CoIP) beside their private ones.',
    'Machines outside the Outpost may reach the cluster at the customer-owned addresses alone.',
  ),
  'address-refused': either(
    'A server with another certificate answers at an address of the endpoint. The address is served, because none is proven (a problem), or it is withheld (a warning).',
    'Clients connect to a machine that is not the API server.',
  ),
  'address-not-proven': warning(
    'No TLS handshake has proven that the API server answers at an address.',
    'The address may belong to another machine by the time of the outage.',
  ),
  'address-dead': warning(
    'An address of the endpoint does not answer.',
    'Clients that try it first wait for a timeout.',
  ),
};

const kubeconfig = {
  'kubeconfig-unusable': problem(
    'The kubeconfig cannot be read, or has no usable context.',
    '`kubectl` does not start with it.',
  ),
  'kubeconfig-names-address': problem(
    'The kubeconfig names an address in place of the endpoint.',
    'When the address moves, `kubectl` does not find the cluster, and this server cannot help.',
  ),
  'kubeconfig-other-endpoint': warning(
    'The kubeconfig names a server that is no endpoint of this configuration.',
    'In an outage nobody resolves the name.',
  ),
  'kubeconfig-needs-aws': problem(
    'The user of the kubeconfig gets a token from AWS, as with `aws eks get-token`.',
    'In an outage there is no token, and `kubectl` does not get in.',
  ),
  'kubeconfig-cluster-id': problem(
    'The command for the token names the cluster by `--cluster-id`, and the instance-store generation needs `--cluster-name`.',
    'The token is not accepted, connected or not.',
  ),
  'kubeconfig-certificate-ends': either(
    'The client certificate has ended (a problem), or ends within 30 days (a warning).',
    'An outage may outlast it. A certificate that has ended lets nobody in.',
  ),
  'kubeconfig-refused': problem(
    'The API server answered one request of the user, and does not accept the user.',
    '`kubectl` does not get in, connected or not.',
  ),
  'kubeconfig-unanswered': problem(
    'No API server answered the request.',
    '`kubectl` does not reach the cluster from this host.',
  ),
};

const secondServer = {
  'second-server-unreachable': problem(
    'The second server does not give its status.',
    'When this server fails in an outage, nobody answers.',
  ),
  'second-server-differs': problem(
    'The second server has other addresses for an endpoint, or does not know it.',
    'Clients get one answer or the other, and one of them is wrong.',
  ),
  'second-server-older': warning(
    'The second server confirmed an endpoint much earlier than this one.',
    'It enters the outage with older addresses.',
  ),
  'second-server-version': warning(
    'The second server has another version.',
    'The two may answer differently.',
  ),
};

const cut = {
  'cut-endpoint-fails': problem(
    'The running server would not answer an endpoint in a cut.',
    'Nobody finds the cluster.',
  ),
  'cut-retained-name-fails': problem(
    'The running server would not answer a retained name in a cut.',
    'The programs of the site that need the name fail.',
  ),
  'cut-name-fails': warning(
    'The running server keeps no usable answer for a name that clients asked for in the last day. Names that a rule fails on purpose, such as services of AWS, are left out.',
    'The programs that ask for the name get SERVFAIL in a cut.',
  ),
  'cut-not-rehearsed': problem(
    'No server runs that could rehearse the cut, or this user may not ask it.',
    'Nobody knows which names fail in a cut.',
  ),
};

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
];

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
};

export type Code = keyof typeof CODES;
export type CodeRow = (typeof CODES)[Code];
