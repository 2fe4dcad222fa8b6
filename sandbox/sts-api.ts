/** STS's Query protocol: who the caller is, and temporary credentials for a role. */
import { randomBytes } from 'node:crypto';
import {
  type ApiContext,
  type ApiReply,
  type ApiRequest,
  refusal,
  refuse,
  success,
  xmlDocument,
} from './api.ts';
import type { AccessKey } from './facts.ts';

const NAMESPACE = 'https://sts.amazonaws.com/doc/2011-06-15/';
const DEFAULT_SESSION_SECONDS = 3600;

export function answerSts(request: ApiRequest, context: ApiContext): ApiReply {
  switch (request.operation) {
    case 'GetCallerIdentity':
      return getCallerIdentity(request, context);
    case 'AssumeRole':
      return assumeRole(request, context);
    default:
      return refuse(
        'sts',
        'unknown-operation',
        `Could not find operation ${request.operation} for version 2011-06-15`,
      );
  }
}

function getCallerIdentity(request: ApiRequest, context: ApiContext): ApiReply {
  const key = context.state.accessKeys.find(({ accessKeyId }) => accessKeyId === request.accessKeyId);
  return reply('GetCallerIdentity', context, {
    Arn: key?.arn,
    UserId: request.accessKeyId,
    Account: key?.accountId,
  });
}

/** The new key is known to every service of the sandbox, until it expires by the Region's clock. */
function assumeRole(request: ApiRequest, context: ApiContext): ApiReply {
  const role = /^arn:aws:iam::(\d{12}):role\/(.+)$/.exec(request.parameters.get('RoleArn') ?? '');
  const session = request.parameters.get('RoleSessionName') ?? '';
  const [, accountId, roleName] = role ?? [];
  if (accountId === undefined || roleName === undefined || session === '') {
    return refusal(400, 'ValidationError', 'RoleArn and RoleSessionName are required');
  }
  const seconds = Number(request.parameters.get('DurationSeconds') ?? DEFAULT_SESSION_SECONDS);
  if (!(seconds >= 900 && seconds <= 43_200)) {
    return refusal(400, 'ValidationError', `DurationSeconds '${seconds}' is not between 900 and 43200`);
  }
  const key = {
    accessKeyId: `ASIA${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64'),
    sessionToken: randomBytes(60).toString('base64'),
    expiresAtMs: context.state.nowMs() + seconds * 1000,
    accountId,
    arn: `arn:aws:sts::${accountId}:assumed-role/${roleName}/${session}`,
  } satisfies AccessKey;
  context.state.putAccessKey(key);
  return reply('AssumeRole', context, {
    AssumedRoleUser: { Arn: key.arn, AssumedRoleId: `AROAEXAMPLEEXAMPLE1:${session}` },
    Credentials: {
      AccessKeyId: key.accessKeyId,
      SecretAccessKey: key.secretAccessKey,
      SessionToken: key.sessionToken,
      Expiration: new Date(key.expiresAtMs).toISOString(),
    },
  });
}

function reply(operation: string, { requestId }: ApiContext, result: object): ApiReply {
  return success(
    xmlDocument(`${operation}Response`, NAMESPACE, {
      [`${operation}Result`]: result,
      ResponseMetadata: { RequestId: requestId },
    }),
  );
}
