/** The site's resolver forwards the endpoint's name to us, as in the README, and is our upstream as well. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import { until } from '../helpers/patience.ts';
import { clusterOf, isReady, sourceOf } from './readiness.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

/** Sends queries about the endpoint to one port and all others to another, each from a socket of its own. */
async function siteResolver(outpostDnsPort: () => number, elsewherePort: number): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    const isEndpoint = query.toString('latin1').toLowerCase().includes(`\x03eks\x09amazonaws\x03com`);
    const onward = createSocket('udp4');
    onward.once('message', (reply) => {
      socket.send(reply, from.port, from.address);
      onward.close();
    });
    onward.send(query, isEndpoint ? outpostDnsPort() : elsewherePort, '127.0.0.1');
    onward.unref();
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

t.test(
  'our own answer that comes back by the site’s resolver confirms no address, and is reported',
  async (t) => {
    const site = await Site.open(t);
    let backTo = 0;
    const elsewhere = Number(site.sandbox.dnsAddress.split(':').at(-1));
    const resolver = await siteResolver(() => backTo, elsewhere);
    t.teardown(() => resolver.close());
    backTo = elsewhere;
    site.configure({ upstreams: [`127.0.0.1:${resolver.address().port}`] });
    const server = site.start();
    await isReady(server);
    await until('dns works', async () => (await sourceOf(server, 'dns'))?.latest === 'succeeded');

    backTo = site.ports.dnsPort;
    const isLooping = async () => (await sourceOf(server, 'dns'))?.lastFailure?.reason === 'looping';
    await until('the loop is seen', isLooping);
    t.match((await clusterOf(server))?.warnings, [/forwards this name back to an outpost-dns/]);
    t.same(await server.addresses(ENDPOINT), DEMO);
    const age = async () => (await sourceOf(server, 'dns'))?.ageSeconds ?? 0;
    const before = await age();
    await until('its age grows', async () => (await age()) > before + 2);
  },
);
