import { EC2Client } from '@aws-sdk/client-ec2';
import { EKSClient } from '@aws-sdk/client-eks';
import { Route53Client } from '@aws-sdk/client-route-53';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { DEMO_ACCESS_KEY } from '../../sandbox/demo-population.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import { PATIENCE_MS } from '../helpers/patience.ts';

// the SDK's default chain ends at 169.254.169.254; no test may ask there
process.env['AWS_EC2_METADATA_DISABLED'] = 'true';

export interface ClientChoices {
  readonly region?: string;
  readonly maxAttempts?: number;
  readonly timeoutMs?: number;
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
}

function settings(sandbox: Sandbox, choices: ClientChoices) {
  const { accessKeyId, secretAccessKey } = DEMO_ACCESS_KEY;
  return {
    endpoint: sandbox.regionUrl,
    region: choices.region ?? 'us-west-2',
    credentials: choices.credentials ?? { accessKeyId, secretAccessKey },
    maxAttempts: choices.maxAttempts ?? 1,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: PATIENCE_MS,
      requestTimeout: choices.timeoutMs ?? PATIENCE_MS,
      throwOnRequestTimeout: true,
    }),
  };
}

/** Real clients of the real SDK, pointed at the sandbox; disposing closes their connections. */
export function ec2Client(sandbox: Sandbox, choices: ClientChoices = {}): EC2Client & Disposable {
  return disposable(new EC2Client(settings(sandbox, choices)));
}

export function route53Client(sandbox: Sandbox, choices: ClientChoices = {}): Route53Client & Disposable {
  return disposable(new Route53Client(settings(sandbox, { region: 'us-east-1', ...choices })));
}

export function eksClient(sandbox: Sandbox, choices: ClientChoices = {}): EKSClient & Disposable {
  return disposable(new EKSClient(settings(sandbox, choices)));
}

function disposable<T extends { destroy(): void }>(client: T): T & Disposable {
  return Object.assign(client, { [Symbol.dispose]: () => client.destroy() });
}
