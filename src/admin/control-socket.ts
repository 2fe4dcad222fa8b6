/**
 * Opens a Unix socket at a path. Its permissions decide which users may connect. The socket replaces the socket of a killed process.
 *
 *     listen in a directory of our own -> permissions -> link to the path, where a file is in the way: remove it, try again
 *
 * So the path never leads to a socket that is not ready, or that the wrong users may use.
 */
import { chmod, link, lstat, mkdtemp, readdir, rm, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { systemCode } from '../runtime/system-errors.ts';

/** The process's user and group may command it; connecting needs the right to write. */
const SOCKET_MODE = 0o660;
/** The octets that fit the kernel's sun_path, its final zero apart. */
const MAX_PATH_OCTETS = process.platform === 'linux' ? 107 : 103;
/** With what mkdtemp appends and a name of one letter no longer than `control.sock`: one bound holds for both. */
const OWN_DIRECTORY = '.c-';
const ATTEMPTS = 3;

type SocketFault = 'in-use' | 'not-a-socket' | 'path-too-long';

export interface SocketRefusal {
  readonly kind: 'refused';
  /** A SocketFault, or the system's code: `EACCES`, `EROFS`, `ENOENT`, ... */
  readonly code: string;
  readonly detail: string;
  readonly fix: string;
}

export interface ListeningSocket {
  readonly kind: 'listening';
  /** Whether the path still leads to this socket: its directory may be removed, or come back from a backup. Never rejects. */
  isInPlace(): Promise<boolean>;
  /** Removes the path, unless the socket of another process stands there by now. Never rejects. */
  remove(): Promise<void>;
}

/** Listens at `path`, or says why that cannot be. Never rejects. */
export async function listenAtPath(server: Server, path: string): Promise<ListeningSocket | SocketRefusal> {
  if (Buffer.byteLength(path) > MAX_PATH_OCTETS) return refusal(path, 'path-too-long');
  let own: string | undefined;
  try {
    await removeLeftovers(dirname(path));
    own = await mkdtemp(join(dirname(path), OWN_DIRECTORY));
    const socket = join(own, 's');
    await listen(server, socket);
    await chmod(socket, SOCKET_MODE);
    const fault = await place(socket, path);
    if (fault === undefined) return await listeningAt(socket, path);
    server.close();
    return refusal(path, fault);
  } catch (error) {
    server.close();
    return refusal(path, systemCode(error) ?? 'unknown');
  } finally {
    if (own !== undefined) await rm(own, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Removes the directories that a kill left during the creation of a socket; such a directory contains at most a socket. */
async function removeLeftovers(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const left = join(directory, name);
    if (!name.startsWith(OWN_DIRECTORY) || (await isAnswered(join(left, 's')))) continue;
    await rm(left, { recursive: true, force: true }).catch(() => undefined);
  }
}

function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ path, exclusive: true }, () => {
    server.off('error', reject);
    resolve();
  });
  return promise;
}

/** Gives the socket its path. Linking, not renaming: it fails where something stands already. */
async function place(socket: string, path: string): Promise<SocketFault | undefined> {
  for (let attempt = 1; !(await isLinked(socket, path)); attempt++) {
    if (attempt === ATTEMPTS) return 'in-use'; // others are as quick as we are
    const fault = await clear(path);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** False where something stands at `path`. */
async function isLinked(socket: string, path: string): Promise<boolean> {
  return link(socket, path).then(
    () => true,
    (error: unknown) => {
      if (systemCode(error) === 'EEXIST') return false;
      throw error;
    },
  );
}

/** Removes the socket if no process answers on it; removes no other kind of file. */
async function clear(path: string): Promise<SocketFault | undefined> {
  try {
    const found = await lstat(path);
    if (!found.isSocket()) return 'not-a-socket';
    if (await isAnswered(path)) return 'in-use';
    await unlink(path);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
  return undefined;
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // only a refusal proves that no process listens: after any other error the socket is not ours to remove
    socket.on('error', ({ code }: NodeJS.ErrnoException) =>
      resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT'),
    );
  });
}

async function listeningAt(socket: string, path: string): Promise<ListeningSocket> {
  const { dev, ino } = await lstat(socket);
  /** Undefined where the file system does not say, such as a disk in trouble, or a process without descriptors. */
  const isOurs = async (): Promise<boolean | undefined> => {
    try {
      const found = await lstat(path);
      return found.ino === ino && found.dev === dev;
    } catch (error) {
      return GONE.has(systemCode(error)) ? false : undefined;
    }
  };
  return {
    kind: 'listening',
    isInPlace: async () => (await isOurs()) !== false,
    async remove() {
      if ((await isOurs()) === true) await unlink(path).catch(() => undefined);
    },
  };
}

const GONE: ReadonlySet<unknown> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP']);

const TEXTS: ReadonlyMap<string, readonly [detail: string, fix: string]> = new Map([
  [
    'in-use',
    ['another process answers there', 'end the other server, or give each a state directory of its own'],
  ],
  ['not-a-socket', ['a file that is no socket stands there', 'move it away and restart the server']],
  [
    'path-too-long',
    [
      `longer than the ${MAX_PATH_OCTETS} octets that a socket's path may have`,
      'set a shorter state.directory',
    ],
  ],
]);
const UNWRITABLE = 'make its directory writable for the user of the server, then restart it';

function refusal(path: string, code: string): SocketRefusal {
  const [detail, fix] = TEXTS.get(code) ?? [code, UNWRITABLE];
  return { kind: 'refused', code, detail: `listen on control socket "${path}": ${detail}`, fix };
}
