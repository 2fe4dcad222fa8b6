/** Findings about a kubeconfig: would `kubectl` with it get in during an outage? One request goes to the API server. */
import { basename, resolve } from 'node:path';
import { endingOf, type Finding, problem, warning } from './finding.ts';
import type { Site } from './site.ts';

type Facts = Extract<Awaited<ReturnType<Site['farSide']['inspectKubeconfig']>>, { kind: 'read' }>;

export async function kubeconfigFindings(site: Site, file: string): Promise<readonly Finding[]> {
  const path = resolve(file);
  const named = site.endpoints.flatMap(({ name, addresses, record }) =>
    name === undefined ? [] : [{ name, addresses, authority: record?.details?.certificateAuthority }],
  );
  const request = {
    path,
    addresses: Object.fromEntries(named.map(({ name, addresses }) => [name, addresses])),
    authorities: Object.fromEntries(
      named.flatMap(({ name, authority }) => (authority === undefined ? [] : [[name, authority]])),
    ),
  };
  const facts = await site.farSide.inspectKubeconfig(request, site.deadline());
  if (facts.kind === 'unusable') {
    const fix =
      'write one with a client certificate: outpost-dns export --format kubeconfig, or docs/outage.md';
    return problem('kubeconfig-unusable', `"${path}" cannot be used: ${facts.detail}`, fix);
  }
  return [
    ...serverFindings(
      facts,
      path,
      named.map(({ name }) => name),
    ),
    ...execFindings(facts, site, path),
    ...certificateFindings(facts, site.nowMs, path),
    ...answerFindings(facts, path),
  ];
}

function serverFindings(
  { host, isAddress, cluster }: Facts,
  path: string,
  endpoints: readonly string[],
): readonly Finding[] {
  const [first] = endpoints;
  if (isAddress) {
    const name = first ?? 'ENDPOINT';
    return problem(
      'kubeconfig-names-address',
      `"${path}" names the address ${host} in place of the endpoint`,
      `kubectl config --kubeconfig ${path} set-cluster ${quoted(cluster)} --server https://${name}`,
    );
  }
  if (first === undefined || endpoints.includes(host)) return [];
  return warning(
    'kubeconfig-other-endpoint',
    `"${path}" names "${host}", which is no endpoint of this server: ${endpoints.join(', ')}`,
    `add its cluster to clusters[], or kubectl config --kubeconfig ${path} set-cluster ${quoted(cluster)} --server https://${first}`,
  );
}

/** One word of a shell, whatever the kubeconfig names its cluster. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function execFindings({ exec, user, host }: Facts, { endpoints }: Site, path: string): readonly Finding[] {
  if (exec === undefined) return [];
  const command = exec.join(' ');
  const asked = isOfAws(exec) ? 'asks AWS' : 'may ask AWS or another service';
  const found = [
    ...problem(
      'kubeconfig-needs-aws',
      `user "${user}" of "${path}" is known by the command "${command}", which ${asked} for a token`,
      'before the outage, make a client certificate for the operator and write it into the kubeconfig: docs/outage.md',
    ),
  ];
  const details = endpoints.find(({ name }) => name === host)?.record?.details;
  if (details?.generation === 'instance-store' && exec.includes('--cluster-id')) {
    const text = `user "${user}" of "${path}" gives --cluster-id to "${exec[0]}": a cluster of the instance-store generation needs --cluster-name`;
    found.push(
      ...problem(
        'kubeconfig-cluster-id',
        text,
        'aws eks update-kubeconfig --name CLUSTER, with AWS CLI 2.35.3 or later',
      ),
    );
  }
  return found;
}

/** `aws eks get-token`, also behind another command, or aws-iam-authenticator. `get-token` alone proves nothing: kubelogin has it too. */
function isOfAws(exec: readonly string[]): boolean {
  return exec.includes('aws') || basename(exec[0] ?? '').startsWith('aws');
}

function certificateFindings(
  { certificateEndsMs, user }: Facts,
  nowMs: number,
  path: string,
): readonly Finding[] {
  if (certificateEndsMs === undefined) return [];
  const what = `the client certificate of user "${user}" in "${path}"`;
  const fix =
    'have the cluster sign a new one (CertificateSigningRequest), and write it into the kubeconfig: docs/outage.md';
  const ending = endingOf(what, certificateEndsMs, nowMs);
  if (ending === undefined) return [];
  const { hasEnded, text } = ending;
  return (hasEnded ? problem : warning)('kubeconfig-certificate-ends', text, fix);
}

function answerFindings({ answer, user }: Facts, path: string): readonly Finding[] {
  if (answer === undefined || answer.kind === 'accepted') return [];
  if (answer.kind === 'refused') {
    return problem(
      'kubeconfig-refused',
      `the API server does not accept user "${user}" of "${path}": ${answer.detail}`,
      `compare the user with its bindings: kubectl --kubeconfig ${path} auth whoami`,
    );
  }
  return problem(
    'kubeconfig-unanswered',
    `no API server answered the user of "${path}": ${answer.detail}`,
    'see that port 443 of the addresses in "outpost-dns status" is open from this host',
  );
}
