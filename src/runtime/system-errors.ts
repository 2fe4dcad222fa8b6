/**
 * Names errors of the operating system, also those for which libuv has no name: Node calls them "Unknown system error -122". It
 * refuses to know who failed at what.
 */

const UNNAMED = /Unknown system error -(\d+)/g;

/**
 * By errno of Linux (asm-generic/errno.h): what file systems say of quotas, of damage, across NFS, and of encryption. The
 * numbers are the same on x86-64 and arm64.
 */
const NAMES: ReadonlyMap<number, readonly [code: string, words: string]> = new Map([
  [37, ['ENOLCK', 'no locks available']],
  [74, ['EBADMSG', 'the file system is damaged: a checksum is wrong']],
  [116, ['ESTALE', 'stale file handle: the NFS server no longer has the file']],
  [117, ['EUCLEAN', 'the file system is damaged and must be repaired']],
  [122, ['EDQUOT', 'the disk quota is used up']],
  [123, ['ENOMEDIUM', 'the disk is gone']],
  [126, ['ENOKEY', 'the key of an encrypted directory is missing']],
  [127, ['EKEYEXPIRED', 'the key for the file system has expired']],
  [128, ['EKEYREVOKED', 'the key for the file system was revoked']],
]);

/** The `code` of an error of the system, or of Node, such as `ENOSPC`; `undefined` for an error without one. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  return error.code.replace(UNNAMED, (code, errno) => NAMES.get(Number(errno))?.[0] ?? code);
}

/** Whether there is no file of that path. */
export function isAbsent(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** The error's message, with the system's code and reason in words. */
export function systemText({ message }: Error): string {
  let names = 0;
  // the code comes first, and the reason after it
  return message.replace(UNNAMED, (text, errno) => NAMES.get(Number(errno))?.[Math.min(names++, 1)] ?? text);
}
