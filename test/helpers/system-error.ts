/** An error of the operating system as Node makes it of a failed call. */
import { constants } from 'node:os';

export function systemError(code: string, call = 'write'): Error & { readonly code: string } {
  const errno = -(constants.errno[code as keyof typeof constants.errno] ?? 0);
  // libuv has no name for a used up quota, so Node has no code for it
  const name = code === 'EDQUOT' ? `Unknown system error ${errno}` : code;
  const reason = code === 'EDQUOT' ? name : 'made to fail';
  return Object.assign(new Error(`${name}: ${reason}, ${call}`), { code: name, errno, syscall: call });
}
