/** Questions of the client, with the server's time for each: from the capture, so that dig's own time is left out. */
import { eventually } from '../commands.ts';
import { type DigReply, dig } from '../dig.ts';
import type { LabSite } from './lab-site.ts';

export interface Reply extends DigReply {
  readonly serverMs: number;
  /** When the answer was back; ms since 1970. */
  readonly atMs: number;
}

export const SHORT_NAME = 'short.example.com';
export const LONG_NAME = 'long.example.com';
export const SHORT_TTL_MS = 2000;
export const LONG_TTL_SECONDS = 3600;

/** A name that no client has asked for before; it exists. */
export function unknownName(): string {
  return `x${++asked}.${SHORT_NAME}`;
}
let asked = 0;

/** Asked once, with the longest wait. */
export async function ask(site: LabSite, name: string): Promise<Reply> {
  const sinceMs = Date.now();
  const reply = await dig(site.withinClient, name, 'A', '+tries=1', '+timeout=9');
  const atMs = Date.now();
  const wanted = name.toLowerCase();
  const serverMs = await eventually(`${name} in the capture`, 5000, async () => {
    const exchanges = await site.capture.exchanges();
    const found = exchanges.findLast((one) => one.name === wanted && one.askedMs >= sinceMs - 1);
    return found === undefined || Number.isNaN(found.tookMs) ? undefined : found.tookMs;
  });
  return { ...reply, serverMs, atMs };
}

/** In sequence. */
export async function askAll(site: LabSite, names: readonly string[]): Promise<readonly Reply[]> {
  const replies: Reply[] = [];
  for (const name of names) replies.push(await ask(site, name));
  return replies;
}
