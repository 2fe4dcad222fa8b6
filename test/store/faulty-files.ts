import type { FileSystem, OpenFile } from '../../src/store/file-system.ts';
import { systemFiles } from '../../src/store/file-system.ts';

export interface Operation {
  readonly name: keyof FileSystem | keyof OpenFile;
  readonly path: string;
}

/** Files that pass every operation by `before` first, which throws to make it fail. */
export function watchedFiles(
  before: (operation: Operation) => void | Promise<void>,
  below: FileSystem = systemFiles,
): FileSystem {
  const pass = async <T>(name: Operation['name'], path: string, run: () => Promise<T>): Promise<T> => {
    await before({ name, path });
    return run();
  };
  return {
    open: (path, flags, mode) =>
      pass('open', path, async () => watchedFile(await below.open(path, flags, mode), path, pass)),
    link: (existing, path) => pass('link', path, () => below.link(existing, path)),
    rename: (from, to) => pass('rename', to, () => below.rename(from, to)),
    unlink: (path) => pass('unlink', path, () => below.unlink(path)),
    readdir: (directory) => pass('readdir', directory, () => below.readdir(directory)),
    mkdir: (directory, options) => pass('mkdir', directory, () => below.mkdir(directory, options)),
  };
}

/** The real files, with some operations on an open one exchanged. */
export function filesWith(change: (file: OpenFile) => Partial<OpenFile>): FileSystem {
  return {
    ...systemFiles,
    open: async (path, flags, mode) => {
      const file = await systemFiles.open(path, flags, mode);
      return {
        stat: () => file.stat(),
        read: (into, offset, length, position) => file.read(into, offset, length, position),
        write: (octets, offset, length) => file.write(octets, offset, length),
        sync: () => file.sync(),
        close: () => file.close(),
        ...change(file),
      };
    },
  };
}

function watchedFile(
  file: OpenFile,
  path: string,
  pass: <T>(name: Operation['name'], path: string, run: () => Promise<T>) => Promise<T>,
): OpenFile {
  return {
    stat: () => pass('stat', path, () => file.stat()),
    read: (into, offset, length, position) =>
      pass('read', path, () => file.read(into, offset, length, position)),
    write: (octets, offset, length) => pass('write', path, () => file.write(octets, offset, length)),
    sync: () => pass('sync', path, () => file.sync()),
    close: async () => {
      try {
        await pass('close', path, async () => {});
      } finally {
        await file.close(); // a close that reports a failure has closed all the same
      }
    },
  };
}
