/**
 * The thread in which the AWS clients live: loading them takes a processor a third of a second, and reading a long listing
 * some milliseconds, in which a loop that answers queries must not stand still. A defect of theirs ends this thread alone.
 *
 *     call, abort -> [ aws-clients ] -> done | failed, log
 *
 * It is a program of its own, started by aws-clients-apart.ts; what it is told and what it says are plain data.
 */
import { type MessagePort, parentPort } from 'node:worker_threads';
import type { Log } from '../../log/log.ts';
import { systemClock } from '../../runtime/clock.ts';
import { systemTimers } from '../../runtime/timers.ts';
import type { AwsCall, AwsClients } from './aws-clients.ts';
import { createAwsClients } from './aws-clients.ts';
import type { AwsPlace } from './client-pool.ts';
import type { SourceFailure } from './source-error.ts';

export type CallName =
  | `ec2.${keyof AwsClients['ec2']}`
  | `eks.${keyof AwsClients['eks']}`
  | `route53.${keyof AwsClients['route53']}`;

export type ToThread =
  | {
      readonly kind: 'call';
      readonly id: number;
      readonly name: CallName;
      readonly place: AwsPlace;
      readonly input: unknown;
    }
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
if (parentPort !== null) serve(parentPort);

function serve(port: MessagePort): void {
  const say = (message: FromThread): void => port.postMessage(message);
  const clients = createAwsClients({ clock: systemClock, timers: systemTimers, log: logOver(say, {}) });
  const calls = callsOf(clients);
  const aborts = new Map<number, AbortController>();
  port.on('message', (message: ToThread) => {
    if (message.kind === 'abort') {
      aborts.get(message.id)?.abort();
      return;
    }
    const { id, name, place, input } = message;
    const abort = new AbortController();
    aborts.set(id, abort);
    void calls[name](place, input, abort.signal)
      .then(
        (output) => say({ kind: 'done', id, output }),
        (error: unknown) => say({ kind: 'failed', id, failure: clients.explain(error) }),
      )
      .finally(() => aborts.delete(id));
  });
}

type AnyCall = (place: AwsPlace, input: unknown, signal: AbortSignal) => Promise<unknown>;

function callsOf({ ec2, eks, route53 }: AwsClients): Readonly<Record<CallName, AnyCall>> {
  return {
    'ec2.describeNetworkInterfaces': anyCall(ec2.describeNetworkInterfaces),
    'ec2.describeInstances': anyCall(ec2.describeInstances),
    'eks.describeCluster': anyCall(eks.describeCluster),
    'route53.listHostedZonesByName': anyCall(route53.listHostedZonesByName),
    'route53.listResourceRecordSets': anyCall(route53.listResourceRecordSets),
  };
}

function anyCall<Input, Output>(call: AwsCall<Input, Output>): AnyCall {
  // the assertion: the other end has the same table, and gives each call the input of its type
  return (place, input, signal) => call(place, input as Input, signal);
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
