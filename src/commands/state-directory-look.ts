/** What the system says of the state directory to this user, without leaving a trace in it. */
import { access, constants, stat } from 'node:fs/promises';
import { systemCode } from '../store/file-system.ts';

export type DirectoryLook =
  | { readonly kind: 'present'; readonly isWritable: boolean; readonly isOwner: boolean }
  | { readonly kind: 'missing' }
  | { readonly kind: 'not-a-directory' }
  /** `code` is the system's. */
  | { readonly kind: 'unreadable'; readonly code: string };

export async function lookAtDirectory(directory: string): Promise<DirectoryLook> {
  try {
    const found = await stat(directory);
    if (!found.isDirectory()) return { kind: 'not-a-directory' };
    await access(directory, constants.R_OK | constants.X_OK);
    return {
      kind: 'present',
      isWritable: await isWritable(directory),
      isOwner: found.uid === process.getuid?.(),
    };
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    return code === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', code };
  }
}

async function isWritable(directory: string): Promise<boolean> {
  return access(directory, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}
