/**
 * SectorCipher: AES-XTS over sectors of memory, with dm-crypt's "plain64" tweaks.
 *
 * Two kinds that agree byte for byte: `evp.ts` calls Node's own OpenSSL by FFI on memory that has
 * an address, `node-cipher.ts` is node:crypto and works everywhere.
 */

/** Memory as slabs state it. */
export interface CipherMemory {
  /** Address of byte 0 as a double; 0 where there are no addresses. */
  readonly address: number;
  readonly bytes: Uint8Array;
}

export interface SectorCipherOptions {
  /** 64 bytes for AES-256, 32 for AES-128: data key, then tweak key. Copied; stays the caller's. */
  readonly key: Uint8Array;
  /** One tweak is for this many bytes: 512 or 4096. */
  readonly sectorBytes: number;
  /** From the tweak of one sector to that of the next. */
  readonly tweakStep: number;
}

/** Belongs to one thread. All calls are synchronous, hot path but `close`, and allocate little. */
export interface SectorCipher {
  /** "openssl" by FFI, or "node". */
  readonly kind: "openssl" | "node";
  /**
   * Encrypts whole sectors from one place to another, which is the same one or does not overlap.
   * @param tweak of the first sector: an integer up to 2^53 - 1, as 64 bits little-endian
   */
  encrypt(
    source: CipherMemory,
    sourceOffset: number,
    target: CipherMemory,
    targetOffset: number,
    tweak: number,
    sectorCount: number,
  ): void;
  /** Decrypts whole sectors in place. */
  decrypt(memory: CipherMemory, offset: number, tweak: number, sectorCount: number): void;
  /** Forgets the key. The cipher is of no use afterwards. */
  close(): void;
}

/** What XTS keys are long, in bytes. spec: IEEE 1619-2007 §5.1 (two AES keys of one length) */
export const XTS_KEY_BYTES = { aes128: 32, aes256: 64 } as const;

export const TWEAK_BYTES = 16;

/** Writes a tweak: 64 bits, little-endian, in front of zeroes. Hot path. */
export function putTweak(words: Uint32Array, index: number, tweak: number): void {
  // Typed arrays are little-endian on every processor that Node 26 runs on.
  words[index] = tweak;
  words[index + 1] = tweak / 4294967296;
}
