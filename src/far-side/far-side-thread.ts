/**
 * The thread of all that speaks HTTPS, so that a loop that answers queries never stands still for it: loading Node's TLS
 * takes a processor 20 to 35 ms, the root certificates 15 ms more, each handshake some, the AWS clients a third of a second,
 * and reading a long listing some milliseconds. A defect in any of it ends this thread alone.
 *
 *     call, abort -> [ the AWS clients | a sign of life | the look at the API servers ] -> done | failed, log
 *
 * It is a program of its own, started by far-side.ts; what it is told and what it says are plain data.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Log } from '../log/log.ts';
import { systemClock } from '../runtime/clock.ts';
import { yieldToQueries } from '../runtime/threads.ts';
import { systemTimers } from '../runtime/timers.ts';
import type { AwsPlace } from './aws/client-pool.ts';
import {
  type AwsCall,
  type AwsCalls,
  createAwsClients,
  type Ec2Calls,
  type EksCalls,
  type Route53Calls,
} from './aws/clients.ts';
import { SharedFiles } from './aws/shared-files.ts';
import type { Head, HeadDeps } from './head.ts';
import type { KubernetesLook } from './kubernetes/kubernetes.ts';
import { LocalFiles } from './local-files.ts';
import type { Outbound } from './outbound.ts';
import type { SourceFailure } from './source-error.ts';

/** What the thread is started with. */
export interface ThreadData {
  readonly outbound: Outbound;
}

/** What can be asked for. Each call settles when its signal is aborted. */
export interface Calls {
  readonly 'ec2.describeNetworkInterfaces': AtPlace<Ec2Calls['describeNetworkInterfaces']>;
  readonly 'ec2.describeInstances': AtPlace<Ec2Calls['describeInstances']>;
  readonly 'eks.describeCluster': AtPlace<EksCalls['describeCluster']>;
  readonly 'route53.listHostedZonesByName': AtPlace<Route53Calls['listHostedZonesByName']>;
  readonly 'route53.listResourceRecordSets': AtPlace<Route53Calls['listResourceRecordSets']>;
  readonly endpoint: AwsCalls['endpoint'];
  readonly head: Head;
  readonly kubernetes: KubernetesLook;
}

type AtPlace<Call> =
  Call extends AwsCall<infer Input, infer Output>
    ? (asked: { readonly place: AwsPlace; readonly input: Input }, signal: AbortSignal) => Promise<Output>
    : never;

export type CallName = keyof Calls;

export type ToThread =
  | { readonly kind: 'call'; readonly id: number; readonly name: CallName; readonly asked: unknown }
  | { readonly kind: 'abort'; readonly id: number };

export type FromThread =
  | { readonly kind: 'done'; readonly id: number; readonly output: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly failure: SourceFailure }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly fields: object;
      readonly text: string;
    };

// absent where it is merely imported, for its types
if (parentPort !== null) {
  yieldToQueries();
  serve(parentPort);
}

function serve(port: MessagePort): void {
  const say = (message: FromThread): void => port.postMessage(message);
  // the assertion: the one that starts this program gives it this data
  const { outbound } = workerData as ThreadData;
  const log = logOver(say, {});
  const files = new LocalFiles(systemTimers);
  const shared = new SharedFiles(outbound, files);
  const clients = createAwsClients({ clock: systemClock, timers: systemTimers, log, outbound, shared });
  const calls = callsOf(clients, { outbound, shared, files });
  const aborts = new Map<number, AbortController>();
  port.on('message', (message: ToThread) => {
    if (message.kind === 'abort') {
      aborts.get(message.id)?.abort();
      return;
    }
    const { id, name, asked } = message;
    const abort = new AbortController();
    aborts.set(id, abort);
    // the assertion: the other end has the same table, and asks each call for what is of its type
    const call = calls[name] as (asked: unknown, signal: AbortSignal) => Promise<unknown>;
    void call(asked, abort.signal)
      .then(
        (output) => say({ kind: 'done', id, output }),
        (error: unknown) => say({ kind: 'failed', id, failure: clients.explain(error) }),
      )
      .finally(() => aborts.delete(id));
  });
}

/** What a call needs is loaded with the first of its kind, when the thread's priority has been lowered. */
function callsOf(
  { ec2, eks, route53, endpoint }: AwsCalls,
  { files, ...deps }: HeadDeps & { readonly files: LocalFiles },
): Calls {
  return {
    'ec2.describeNetworkInterfaces': atPlace(ec2.describeNetworkInterfaces),
    'ec2.describeInstances': atPlace(ec2.describeInstances),
    'eks.describeCluster': atPlace(eks.describeCluster),
    'route53.listHostedZonesByName': atPlace(route53.listHostedZonesByName),
    'route53.listResourceRecordSets': atPlace(route53.listResourceRecordSets),
    endpoint,
    head: async (request, signal) => (await import('./head.ts')).headOf(request, deps, signal),
    kubernetes: async ({ access, context }, signal) => {
      const { createKubernetesSource } = await import('./kubernetes/kubernetes.ts');
      return createKubernetesSource({ access, clock: systemClock, files }).observe(context, signal);
    },
  };
}

function atPlace<Input, Output>(call: AwsCall<Input, Output>): AtPlace<AwsCall<Input, Output>> {
  return ({ place, input }, signal) => call(place, input, signal);
}

function logOver(say: (message: FromThread) => void, bound: object): Log {
  const at = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: object, text: string) =>
    say({ kind: 'log', level, fields: { ...bound, ...fields }, text });
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => logOver(say, { ...bound, ...fields }),
  };
}
