/**
 * Node's file of the compiled code of one module (src/compile_cache.cc of Node): five numbers of 32 bits, which are a mark, the
 * lengths of source and code, and the CRC-32 of both; then the code.
 */
import { crc32 } from 'node:zlib';

const HEAD_OCTETS = 20;
const SOURCE_LENGTH = 4;
const CODE_LENGTH = 8;
const SOURCE_SUM = 12;
const CODE_SUM = 16;

/** The code in a file. Throws where the file has another form than this Node's. */
export function codeIn(file: Buffer): Buffer {
  const code = file.subarray(HEAD_OCTETS);
  if (file.readUInt32LE(CODE_LENGTH) !== code.length || file.readUInt32LE(CODE_SUM) !== crc32(code))
    throw new Error('this Node keeps compiled code in another form');
  return code;
}

export function withCode(file: Buffer, code: Buffer): Buffer {
  const head = Buffer.from(file.subarray(0, HEAD_OCTETS));
  head.writeUInt32LE(code.length, CODE_LENGTH);
  head.writeUInt32LE(crc32(code), CODE_SUM);
  return Buffer.concat([head, code]);
}

/** Which module it is: `sourceKey` of the source is the same. */
export function keptSourceKey(file: Buffer): string {
  return `${file.readUInt32LE(SOURCE_LENGTH)} ${file.readUInt32LE(SOURCE_SUM)}`;
}

export function sourceKey(source: Buffer): string {
  return `${source.length} ${crc32(source)}`;
}
