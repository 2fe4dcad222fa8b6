/** The API server's own addresses in the objects that list them: EndpointSlices, and the Endpoints of before. Pure. */
import { isIPv4 } from 'node:net';
import * as z from 'zod';
import type { Page } from '../pages.ts';
import { SourceError } from '../source-error.ts';

const PORT = z.object({ name: z.string().nullish(), port: z.int().nullish() });

const SLICES = z.object({
  kind: z.literal('EndpointSliceList'),
  metadata: z.object({ continue: z.string().nullish() }).nullish(),
  items: z
    .array(
      z.object({
        addressType: z.string(),
        endpoints: z
          .array(
            z.object({
              addresses: z.array(z.string()).min(1),
              conditions: z.object({ ready: z.boolean().nullish() }).nullish(),
            }),
          )
          .nullish(),
        ports: z.array(PORT).nullish(),
      }),
    )
    .nullish(),
});

const ENDPOINTS = z.object({
  kind: z.literal('Endpoints'),
  subsets: z
    .array(
      z.object({
        addresses: z.array(z.object({ ip: z.string() })).nullish(),
        ports: z.array(PORT).nullish(),
      }),
    )
    .nullish(),
});

/** Ready addresses of one page of EndpointSlices. Throws SourceError `malformed`. */
export function addressesOfSlices(body: unknown): Page<string, string> {
  const list = SLICES.safeParse(body);
  if (!list.success) throw malformed('EndpointSlices', list.error);
  const slices = (list.data.items ?? []).filter(
    ({ addressType, ports }) => addressType === 'IPv4' && servesApi(ports),
  );
  const items = slices
    .flatMap(({ endpoints }) => endpoints ?? [])
    // "nil should be interpreted as true", says the API of conditions.ready; false also while it is ending
    .filter(({ conditions }) => conditions?.ready !== false)
    // the others of one endpoint have no meaning in the API, and kube-proxy passes over them
    .map(({ addresses }) => ipv4(addresses[0]));
  return { items, next: list.data.metadata?.continue || undefined };
}

/** Ready addresses of the Endpoints object. Throws SourceError `malformed`. */
export function addressesOfEndpoints(body: unknown): readonly string[] {
  const object = ENDPOINTS.safeParse(body);
  if (!object.success) throw malformed('Endpoints', object.error);
  return (object.data.subsets ?? [])
    .filter(({ ports }) => servesApi(ports))
    .flatMap(({ addresses }) => addresses ?? [])
    .map(({ ip }) => ip)
    .filter((ip) => !ip.includes(':')) // there is no type of address here, and an Outpost has IPv4 only
    .map(ipv4);
}

function servesApi(ports: readonly z.output<typeof PORT>[] | null | undefined): boolean {
  return (ports ?? []).some(({ name, port }) => name === 'https' || port === 443);
}

function ipv4(address: string | undefined): string {
  if (address !== undefined && isIPv4(address)) return address;
  throw new SourceError({
    reason: 'malformed',
    reachedFarSide: false,
    detail: `reading the api server's view failed: "${address?.slice(0, 50)}" is not an IPv4 address`,
  });
}

function malformed(what: string, { issues: [issue] }: z.ZodError): SourceError {
  const where = issue?.path.join('.') || 'the answer';
  return new SourceError({
    reason: 'malformed',
    reachedFarSide: false,
    detail: `reading ${what} failed: ${where} is not what the API has there`,
  });
}
