/** The real server against the simulated Region, which patches a control plane while the link is cut and returns. */
import t from 'tap';
import { PATCH_STEPS, RollingPatch } from '../../sandbox/region-state.ts';
import { until } from '../helpers/patience.ts';
import { clusterOf, isReady } from './readiness.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

t.test('a cut at each moment of the patch of an interface takes no address away', async (t) => {
  const site = await Site.open(t);
  const { link, state, region } = site.sandbox;
  const patch = new RollingPatch(state, 'demo');
  let server = site.start();
  await isReady(server);
  for (const step of PATCH_STEPS) {
    patch.next();
    const asked = region.requests.length;
    await until(
      `${step}: the listing was asked again`,
      () =>
        region.requests.slice(asked).filter(({ operation }) => operation === 'DescribeNetworkInterfaces')
          .length > 2,
    );
    if (step !== 'unlisted' && step !== 'in-use') {
      await until(`${step} is shown`, async () =>
        (await clusterOf(server))?.addresses.some(({ interfaceStatus }) => interfaceStatus === step),
      );
    }
    t.same(await server.addresses(ENDPOINT), DEMO, step);
    link.set('down');
    await until(`${step}: no source answers`, async () => (await clusterOf(server))?.lastRefreshFailed);
    t.same(await server.addresses(ENDPOINT), DEMO, `${step}, in a cut`);
    if (step === 'unlisted') {
      await server.kill('SIGKILL');
      server = site.start();
      await isReady(server);
      t.same(await server.addresses(ENDPOINT), DEMO, `${step}, in a cut, after a restart`);
    }
    link.set('up');
    await until(`${step}: the link is back`, async () => !(await clusterOf(server))?.lastRefreshFailed);
  }
});
