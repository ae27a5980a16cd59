/**
 * AES-XTS by Node's own OpenSSL, on memory with addresses: 4 KiB take a third of a microsecond.
 *
 * Every argument of the two hot calls is declared a pointer, lengths and flags too: node:ffi then
 * hands out V8's own fast call (6 ns); with a single integer among four or more arguments it wraps
 * the call in a generic one (200 ns more). A cipher owns two OpenSSL contexts, one per direction,
 * with the key set once; the thread's scratch page holds what calls point to while they run.
 */

import { assert } from "../util/assert.ts";
import { loadFunctions } from "./ffi.ts";
import { mapShared } from "./memory.ts";
import {
  type CipherMemory,
  putTweak,
  type SectorCipher,
  type SectorCipherOptions,
  TWEAK_BYTES,
  XTS_KEY_BYTES,
} from "./sector-cipher.ts";

// spec: OpenSSL 3.5, EVP_EncryptInit(3)
const setup = loadFunctions(null, {
  EVP_aes_128_xts: { arguments: [], return: "pointer" },
  EVP_aes_256_xts: { arguments: [], return: "pointer" },
  EVP_CIPHER_CTX_new: { arguments: [], return: "pointer" },
  EVP_CIPHER_CTX_free: { arguments: ["pointer"], return: "void" },
});
const hot = loadFunctions(null, {
  EVP_CipherInit_ex: {
    arguments: ["pointer", "pointer", "pointer", "pointer", "pointer", "pointer"],
    return: "int32",
  },
  EVP_CipherUpdate: {
    arguments: ["pointer", "pointer", "pointer", "pointer", "pointer"],
    return: "int32",
  },
});
const { EVP_CipherInit_ex: cipherInit, EVP_CipherUpdate: cipherUpdate } = hot;

/** The scratch page: the key while it is set, the tweak, the length that an update answers. */
const TWEAK_AT = 64;
const LENGTH_AT = TWEAK_AT + TWEAK_BYTES;
const scratch = mapShared(4096);
const scratchBytes = new Uint8Array(scratch.buffer);
const scratchWords = new Uint32Array(scratch.buffer);
const keyPointer = BigInt(scratch.address);
const tweakPointer = BigInt(scratch.address + TWEAK_AT);
const lengthPointer = BigInt(scratch.address + LENGTH_AT);
const TWEAK_WORD = TWEAK_AT / 4;

const NONE = 0n;
const ENCRYPT = 1n;
const DECRYPT = 0n;
/** An int of -1: the direction stays. */
const KEEP_DIRECTION = 0xffff_ffffn;

export class EvpSectorCipher implements SectorCipher {
  readonly kind = "openssl";
  readonly #sectorBytes: number;
  readonly #sectorLength: bigint;
  readonly #tweakStep: number;
  #encryption: bigint;
  #decryption: bigint;

  constructor({ key, sectorBytes, tweakStep }: SectorCipherOptions) {
    this.#sectorBytes = sectorBytes;
    this.#sectorLength = BigInt(sectorBytes);
    this.#tweakStep = tweakStep;
    this.#encryption = newContext(key, ENCRYPT);
    this.#decryption = newContext(key, DECRYPT);
  }

  // hot path
  encrypt(
    source: CipherMemory,
    sourceOffset: number,
    target: CipherMemory,
    targetOffset: number,
    tweak: number,
    sectorCount: number,
  ): void {
    assert(isInside(source, sourceOffset, sectorCount * this.#sectorBytes), "source sectors");
    assert(isInside(target, targetOffset, sectorCount * this.#sectorBytes), "target sectors");
    const from = source.address + sourceOffset;
    const to = target.address + targetOffset;
    this.#run(this.#encryption, from, to, tweak, sectorCount);
  }

  // hot path
  decrypt(memory: CipherMemory, offset: number, tweak: number, sectorCount: number): void {
    assert(isInside(memory, offset, sectorCount * this.#sectorBytes), "sectors lie in the memory");
    const at = memory.address + offset;
    this.#run(this.#decryption, at, at, tweak, sectorCount);
  }

  close(): void {
    // OpenSSL overwrites the keys of a context that it frees.
    if (this.#encryption !== NONE) setup.EVP_CIPHER_CTX_free(this.#encryption);
    if (this.#decryption !== NONE) setup.EVP_CIPHER_CTX_free(this.#decryption);
    this.#encryption = NONE;
    this.#decryption = NONE;
  }

  // hot path
  #run(context: bigint, from: number, to: number, tweak: number, sectorCount: number): void {
    assert(context !== NONE, "a closed cipher is not used");
    let next = tweak;
    for (let done = 0; done < sectorCount; done++) {
      putTweak(scratchWords, TWEAK_WORD, next);
      const shift = done * this.#sectorBytes;
      const input = BigInt(from + shift);
      const output = from === to ? input : BigInt(to + shift);
      const isOk =
        cipherInit(context, NONE, NONE, NONE, tweakPointer, KEEP_DIRECTION) === 1 &&
        cipherUpdate(context, output, lengthPointer, input, this.#sectorLength) === 1;
      assert(isOk, "OpenSSL does a whole sector");
      next += this.#tweakStep;
    }
  }
}

/** The key goes through the scratch page and is wiped there. */
function newContext(key: Uint8Array, direction: bigint): bigint {
  const { aes128, aes256 } = XTS_KEY_BYTES;
  assert(key.length === aes256 || key.length === aes128, "an XTS key is 32 or 64 bytes");
  const cipher = key.length === aes256 ? setup.EVP_aes_256_xts() : setup.EVP_aes_128_xts();
  const context = setup.EVP_CIPHER_CTX_new();
  assert(context !== NONE, "OpenSSL has memory for a context");
  scratchBytes.set(key, 0);
  scratchWords.fill(0, TWEAK_WORD, TWEAK_WORD + TWEAK_BYTES / 4);
  try {
    const result = cipherInit(context, cipher, NONE, keyPointer, tweakPointer, direction);
    assert(result === 1, "OpenSSL takes an XTS key of two different halves");
    return context;
  } finally {
    scratchBytes.fill(0, 0, key.length);
  }
}

// hot path
function isInside(memory: CipherMemory, offset: number, length: number): boolean {
  return memory.address > 0 && offset >= 0 && offset + length <= memory.bytes.length;
}
