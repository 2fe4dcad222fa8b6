/** Conditions that scenarios wait for, seen from outside of the server. */
import { until } from '../helpers/patience.ts';
import type { ServerProcess } from './server-process.ts';

/** Resolves once every endpoint can be answered. */
export function isReady(server: ServerProcess): Promise<unknown> {
  return until('every endpoint is known', async () => {
    if (!server.isRunning) throw new Error(`the server ended: ${server.stderr}${server.stdout}`);
    return (await server.get('/readyz').catch(() => undefined))?.status === 200;
  });
}

export async function clusterOf(server: ServerProcess, name = 'demo') {
  return (await server.status()).endpoints.find((endpoint) => endpoint.cluster === name);
}

export async function sourceOf(server: ServerProcess, source: string, name = 'demo') {
  return (await clusterOf(server, name))?.sources.find((one) => one.source === source);
}
