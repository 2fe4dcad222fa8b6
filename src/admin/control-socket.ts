/** A Unix socket at a path: who may use it is a matter of its permissions, and what a killed process left is replaced. */
import { chmod, lstat, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';

/** Whoever is the process's user or in its group commands it; connecting takes the right to write. */
const SOCKET_MODE = 0o660;
/** The octets that fit the kernel's sun_path, its final zero apart. */
const MAX_PATH_OCTETS = process.platform === 'linux' ? 107 : 103;

export type SocketFault =
  /** Somebody answers there. */
  | 'in-use'
  /** Something that is no socket stands there. */
  | 'not-a-socket'
  | 'path-too-long';

export interface SocketRefusal {
  readonly kind: 'refused';
  /** Ours, or the system's: `EACCES`, `EROFS`, `ENOENT`, ... */
  readonly code: SocketFault | string;
  readonly detail: string;
  readonly mend: string;
}

/** Listens at `path`, or says why that cannot be. Never rejects. */
export async function listenAtPath(
  server: Server,
  path: string,
): Promise<{ readonly kind: 'listening' } | SocketRefusal> {
  if (Buffer.byteLength(path) > MAX_PATH_OCTETS) return refusal(path, 'path-too-long');
  try {
    const inTheWay = await clear(path);
    if (inTheWay !== undefined) return refusal(path, inTheWay);
    await listen(server, path);
    await chmod(path, SOCKET_MODE);
    return { kind: 'listening' };
  } catch (error) {
    if (server.listening) server.close();
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    // another one was quicker between our look and our try
    return refusal(path, code === 'EADDRINUSE' ? 'in-use' : code);
  }
}

/** Removes the socket of a process that is gone, and nothing else. */
async function clear(path: string): Promise<SocketFault | undefined> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return undefined;
  if (!found.isSocket()) return 'not-a-socket';
  if (await isAnswered(path)) return 'in-use';
  await unlink(path);
  return undefined;
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // only a refusal proves that nobody is there: whatever else happens, the socket is not ours to remove
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
  });
}

/** The socket is made without rights for others, whatever the umask: a chmod alone would come a moment late. */
function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.once('listening', () => {
    server.off('error', reject);
    resolve();
  });
  const before = process.umask(0o007); // kept for this one call, which binds before it returns
  try {
    server.listen({ path, exclusive: true });
  } finally {
    process.umask(before);
  }
  return promise;
}

const TEXTS: Readonly<Record<SocketFault, readonly [detail: string, mend: string]>> = {
  'in-use': [
    'another process answers there',
    'end the other server, or give each a state directory of its own',
  ],
  'not-a-socket': ['a file that is no socket stands there', 'move it away and restart the server'],
  'path-too-long': [
    `longer than the ${MAX_PATH_OCTETS} octets that a socket's path may have`,
    'set a shorter state.directory',
  ],
};

function refusal(path: string, code: SocketFault | string): SocketRefusal {
  const [detail, mend] =
    code in TEXTS
      ? TEXTS[code as SocketFault] // a key of TEXTS
      : [code, 'make its directory writable for the user of the server, then restart it'];
  return { kind: 'refused', code, detail: `listen on control socket "${path}": ${detail}`, mend };
}
