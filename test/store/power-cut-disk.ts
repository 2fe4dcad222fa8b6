import { constants } from 'node:fs';
import { basename } from 'node:path';
import type { FileSystem, OpenFile } from '../../src/store/file-system.ts';

import { systemError } from '../helpers/system-error.ts';

/**
 * One directory on a disk that promises no more than POSIX does: octets last once their file is synced, names once the
 * directory is. What was not synced may, after a cut, be there, be missing, or be there in part, independently of
 * everything else and in any order.
 */

interface Inode {
  octets: Uint8Array;
  synced: Uint8Array | undefined;
}

type Names = Map<string, Inode>;
type NameChange = (names: Names) => void;

/** What may be left of a file that was never synced. */
export const TEARS = {
  nothing: () => new Uint8Array(0),
  zeros: (octets: Uint8Array) => new Uint8Array(octets.length),
  half: (octets: Uint8Array) => octets.slice(0, octets.length >> 1),
  all: (octets: Uint8Array) => octets,
} as const;

/** Thrown by every operation from the cut on; has no code, so it passes the store as a bug would. */
export class PowerCut extends Error {}

export class PowerCutDisk {
  #names: Names = new Map();
  #synced: Names = new Map();
  #unsynced: NameChange[] = [];
  #operations = 0;
  /** The operation, counted from 0, at which the power goes. */
  cutAt = Number.POSITIVE_INFINITY;

  get operations(): number {
    return this.#operations;
  }

  get unsyncedNames(): number {
    return this.#unsynced.length;
  }

  /** The disk as it is found afterwards: with the unsynced name changes whose bit is set in `kept`. */
  recover(kept: number, tear: (octets: Uint8Array) => Uint8Array): PowerCutDisk {
    const names: Names = new Map(this.#synced);
    this.#unsynced.forEach((change, at) => {
      if (kept & (1 << at)) change(names);
    });
    const disk = new PowerCutDisk();
    for (const [name, inode] of names) {
      const octets = inode.synced ?? tear(inode.octets);
      disk.#names.set(name, { octets, synced: octets });
    }
    disk.#synced = new Map(disk.#names);
    return disk;
  }

  /** Spoils a file where it lies, as a failing disk does. */
  scribble(name: string): void {
    const inode = this.#inode(name);
    inode.octets = inode.octets.map((octet, at) => (at === 100 ? octet ^ 1 : octet));
    inode.synced = inode.octets;
  }

  readonly files: FileSystem = {
    open: async (path, flags) => {
      this.#step();
      if (flags & constants.O_DIRECTORY) return this.#openDirectory();
      if (flags & constants.O_CREAT) return this.#create(basename(path));
      return this.#openFile(this.#inode(path));
    },
    link: async (existing, path) => {
      this.#step();
      const inode = this.#inode(existing);
      if (this.#names.has(basename(path))) throw systemError('EEXIST');
      this.#change((names) => names.set(basename(path), inode));
    },
    rename: async (from, to) => {
      this.#step();
      const inode = this.#inode(from);
      this.#change((names) => {
        names.delete(basename(from));
        names.set(basename(to), inode);
      });
    },
    unlink: async (path) => {
      this.#step();
      this.#inode(path);
      this.#change((names) => names.delete(basename(path)));
    },
    readdir: async () => {
      this.#step();
      return [...this.#names.keys()];
    },
    mkdir: async () => undefined,
  };

  #step(): void {
    if (this.#operations >= this.cutAt) throw new PowerCut('the power is gone');
    this.#operations++;
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(basename(path));
    if (inode === undefined) throw systemError('ENOENT');
    return inode;
  }

  #change(change: NameChange): void {
    change(this.#names);
    this.#unsynced.push(change);
  }

  #create(name: string): OpenFile {
    if (this.#names.has(name)) throw systemError('EEXIST');
    const inode: Inode = { octets: new Uint8Array(0), synced: undefined };
    this.#change((names) => names.set(name, inode));
    return this.#openFile(inode);
  }

  #openFile(inode: Inode): OpenFile {
    let at = 0;
    return {
      stat: async () => ({ size: inode.octets.length, isFile: () => true }),
      read: async (into, offset, length, position) => {
        const from = position ?? at;
        const part = inode.octets.subarray(from, from + length);
        into.set(part, offset);
        if (position === undefined) at += part.length;
        return { bytesRead: part.length };
      },
      write: async (octets, offset, length) => {
        this.#step();
        const part = octets.subarray(offset, offset + Math.min(length, 1000)); // never all at once
        inode.octets = Buffer.concat([inode.octets, part]);
        return { bytesWritten: part.length };
      },
      sync: async () => {
        this.#step();
        inode.synced = inode.octets;
      },
      close: async () => {},
    };
  }

  #openDirectory(): OpenFile {
    const refuse = async () => {
      throw systemError('EISDIR');
    };
    return {
      stat: async () => ({ size: 0, isFile: () => false }),
      read: refuse,
      write: refuse,
      sync: async () => {
        this.#step();
        this.#synced = new Map(this.#names);
        this.#unsynced = [];
      },
      close: async () => {},
    };
  }
}
