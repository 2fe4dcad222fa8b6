/** The image's bases are pinned by digest; lab/container-image.ts builds and runs it. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import packageJson from '../../package.json' with { type: 'json' };

const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');

t.test('every base is pinned by digest, and Node is the tested one', (t) => {
  const bases = new Map(
    [...dockerfile.matchAll(/^ARG (\w+_IMAGE)=(\S+)$/gm)].map((match) => [match[1] ?? '', match[2] ?? '']),
  );
  for (const [name, image] of bases) t.match(image, /^[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}$/, name);
  t.match(bases.get('NODE_IMAGE'), `node:${packageJson.devDependencies.node}-`);
  const from = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1] ?? '');
  for (const image of from) t.ok(bases.has(/^\$\{(\w+)\}$/.exec(image)?.[1] ?? ''), image);
  t.equal(from.length, 2);
  t.end();
});

t.test('any user of group 0 may keep state: OpenShift gives each project a user of its own', (t) => {
  t.match(dockerfile, /install -d -o 65532 -g 0 -m 0770 \/var\/lib\/outpost-dns/);
  t.end();
});
