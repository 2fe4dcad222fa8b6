/** Access keys of the sandbox, in the forms that the AWS SDK reads. */
import type { AccessKey } from '../../sandbox/facts.ts';

export function keyOf(name: string): AccessKey {
  return {
    accessKeyId: `ASIA${name.toUpperCase()}EXAMPLE`,
    secretAccessKey: `secret-of-${name}`,
    sessionToken: `token-of-${name}`,
    accountId: '111122223333',
    arn: `arn:aws:iam::111122223333:user/${name}`,
  };
}

/** The file of shared credentials, with this key in its default profile. */
export function credentialsFile({ accessKeyId, secretAccessKey, sessionToken }: AccessKey): string {
  const token = sessionToken === undefined ? '' : `aws_session_token = ${sessionToken}\n`;
  return `[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n${token}`;
}

/** The output of a `credential_process`. */
export function processOutput(key: AccessKey, more: object = {}): string {
  const { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken } = key;
  return JSON.stringify({ Version: 1, AccessKeyId, SecretAccessKey, SessionToken, ...more });
}
