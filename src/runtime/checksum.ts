/**
 * SHA-256 of files, by the OpenSSL inside the runtime: called as C, it loads nothing. Node's own crypto would load 5 ms of code,
 * and a checksum in JavaScript was a fifteenth of a start. It refuses to know what is summed up, and keeps no secret.
 */

interface Sha256 {
  update(octets: Uint8Array): void;
  /** To be called once. */
  digest(): Uint8Array;
}

/** Where C cannot be called, or this OpenSSL lacks the functions, it is Node's crypto. */
export function createSha256(): Sha256 {
  const calls = functionsOfC();
  if (calls === undefined) return process.getBuiltinModule('node:crypto').createHash('sha256');
  const context = new Uint32Array(CONTEXT_WORDS);
  calls.SHA256_Init(context);
  return {
    update(octets) {
      if (octets.length > 0) calls.SHA256_Update(context, octets, BigInt(octets.length));
    },
    digest() {
      const digest = new Uint8Array(DIGEST_OCTETS);
      calls.SHA256_Final(digest, context);
      return digest;
    },
  };
}

export function sha256(octets: Uint8Array): Uint8Array {
  const sum = createSha256();
  sum.update(octets);
  return sum.digest();
}

/** Of the text's UTF-8, in base64. */
export function sha256Base64(text: string): string {
  return Buffer.from(sha256(Buffer.from(text))).toString('base64');
}

const DIGEST_OCTETS = 32;
/** `SHA256_CTX` of <openssl/sha.h> has 112 octets. */
const CONTEXT_WORDS = 32;

/** An array is passed itself, not its address: it stays where it is during the call. C keeps no pointer after a call. */
const SIGNATURES = {
  SHA256_Init: { arguments: ['pointer'], return: 'int32' },
  SHA256_Update: { arguments: ['pointer', 'pointer', 'uint64'], return: 'int32' },
  SHA256_Final: { arguments: ['pointer', 'pointer'], return: 'int32' },
} as const;

type Functions = ReturnType<typeof openFunctions>;
let opened: Functions | 'denied' | undefined;

function functionsOfC(): Functions | undefined {
  if (opened === undefined) {
    try {
      opened = openFunctions();
    } catch {
      opened = 'denied';
    }
  }
  return opened === 'denied' ? undefined : opened;
}

function openFunctions() {
  return process.getBuiltinModule('node:ffi').dlopen(null, SIGNATURES).functions;
}
