/** The manifests of config/kubernetes against the schemas of Kubernetes and of the Prometheus operator, and against each other. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse, parseAllDocuments } from 'yaml';
import packageJson from '../../package.json' with { type: 'json' };
import { load } from '../config/loading.ts';

const root = join(import.meta.dirname, '../..');
const folder = join(root, 'config/kubernetes');
const text = (file: string) => readFileSync(join(folder, file), 'utf8');

// biome-ignore lint/suspicious/noExplicitAny: a manifest of any kind; its schema is what this file checks
type Manifest = any;

const files = readdirSync(folder).filter((file) => file !== 'kustomization.yaml');
const manifests: Manifest[] = files.flatMap((file) =>
  parseAllDocuments(text(file)).map((document) => document.toJS()),
);
const find = (kind: string, name: string): Manifest =>
  manifests.find((one) => one.kind === kind && one.metadata.name === name);

/** The faults that the schema of its kind finds. */
async function faults(manifest: Manifest): Promise<string | undefined> {
  const { apiVersion, kind } = manifest;
  const from = apiVersion.startsWith('monitoring.coreos.com/')
    ? '@kubernetes-models/prometheus-operator'
    : 'kubernetes-models';
  const model = (await import(`${from}/${apiVersion}/${kind}`))[kind];
  try {
    new model(manifest).validate();
    return undefined;
  } catch (error) {
    return String(error);
  }
}

t.test('each manifest is valid by the schema of its kind', async (t) => {
  for (const manifest of manifests)
    t.equal(await faults(manifest), undefined, `${manifest.kind} ${manifest.metadata.name}`);
  t.strictSame([...new Set(manifests.map(({ kind }) => kind))].sort(), [
    'ConfigMap',
    'DaemonSet',
    'Deployment',
    'Namespace',
    'NetworkPolicy',
    'PodDisruptionBudget',
    'Service',
    'ServiceMonitor',
  ]);
});

t.test('the schemas would find a fault', async (t) => {
  const broken = structuredClone(find('Deployment', 'outpost-dns'));
  broken.spec.template.spec.containers[0].livenessProbe.httpGet.port = ['metrics'];
  t.match(await faults(broken), /port/);
  const monitor = structuredClone(find('ServiceMonitor', 'outpost-dns'));
  monitor.spec.endpoints = 'metrics';
  t.match(await faults(monitor), /endpoints/);
});

t.test('the kustomization lists every file', async (t) => {
  t.strictSame(parse(text('kustomization.yaml')).resources.toSorted(), files.toSorted());
});

t.test('the configuration loads, alone and with the variables of the pods', async (t) => {
  const yaml = find('ConfigMap', 'outpost-dns').data['outpost-dns.yaml'];
  t.equal((await load(yaml)).clusters.length, 1);
  for (const [kind, name, listen] of [
    ['DaemonSet', 'outpost-dns-node', ['127.0.0.1:53', '10.0.0.7:53']],
    ['Deployment', 'outpost-dns', ['0.0.0.0:5353']],
  ] as const) {
    const [container] = find(kind, name).spec.template.spec.containers;
    const environment = Object.fromEntries(
      container.env
        .filter(({ value }: Manifest) => value !== undefined)
        .map(({ name, value }: Manifest) => [name, value.replace('$(HOST_IP)', '10.0.0.7')]),
    );
    const { listen: loaded } = await load(yaml, { environment });
    t.strictSame(
      loaded.dns.map(({ address, port }) => `${address}:${port}`),
      listen,
      name,
    );
  }
});

t.test('image, selectors, ports and probes fit each other', async (t) => {
  const image = `outpost-dns:${packageJson.version}`;
  for (const [kind, name] of [
    ['DaemonSet', 'outpost-dns-node'],
    ['Deployment', 'outpost-dns'],
  ] as const) {
    const { selector, template } = find(kind, name).spec;
    t.strictSame(selector.matchLabels, template.metadata.labels, name);
    t.strictSame(find('Service', name).spec.selector, template.metadata.labels, name);
    const { containers, initContainers = [] } = template.spec;
    for (const container of [...containers, ...initContainers]) {
      t.equal(container.image, image);
      t.match(container.securityContext, {
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      });
    }
    const [{ ports, livenessProbe, readinessProbe }] = containers;
    const named = new Set(ports.map((port: Manifest) => port.name));
    for (const { targetPort } of find('Service', name).spec.ports) t.ok(named.has(targetPort), targetPort);
    t.strictSame([livenessProbe.httpGet.path, readinessProbe.httpGet.path], ['/healthz', '/readyz']);
  }
  t.strictSame(
    find('PodDisruptionBudget', 'outpost-dns').spec.selector,
    find('Deployment', 'outpost-dns').spec.selector,
  );
  t.strictSame(
    find('NetworkPolicy', 'outpost-dns').spec.podSelector,
    find('Deployment', 'outpost-dns').spec.selector,
  );
  t.equal(find('DaemonSet', 'outpost-dns-node').spec.template.spec.hostNetwork, true);
  t.equal(find('Deployment', 'outpost-dns').spec.replicas, 2);
});

t.test('compose.yaml runs the same image, read-only and with state', async (t) => {
  const service = parse(readFileSync(join(root, 'compose.yaml'), 'utf8')).services['outpost-dns'];
  t.match(service, { image: `outpost-dns:${packageJson.version}`, read_only: true, cap_drop: ['ALL'] });
  t.ok(service.volumes.includes('state:/var/lib/outpost-dns'));
});
