/**
 * AES-XTS by node:crypto, where there is no FFI: one cipher object per sector, some 3 us each.
 */

import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from "node:crypto";
import { assert } from "../util/assert.ts";
import {
  type CipherMemory,
  putTweak,
  type SectorCipher,
  type SectorCipherOptions,
  TWEAK_BYTES,
  XTS_KEY_BYTES,
} from "./sector-cipher.ts";

export class NodeSectorCipher implements SectorCipher {
  readonly kind = "node";
  readonly #sectorBytes: number;
  readonly #tweakStep: number;
  readonly #algorithm: string;
  readonly #tweak = new Uint8Array(TWEAK_BYTES);
  readonly #tweakWords = new Uint32Array(this.#tweak.buffer);
  #key: KeyObject | null;

  constructor({ key, sectorBytes, tweakStep }: SectorCipherOptions) {
    const { aes128, aes256 } = XTS_KEY_BYTES;
    assert(key.length === aes256 || key.length === aes128, "an XTS key is 32 or 64 bytes");
    this.#sectorBytes = sectorBytes;
    this.#tweakStep = tweakStep;
    this.#algorithm = key.length === aes256 ? "aes-256-xts" : "aes-128-xts";
    this.#key = createSecretKey(key);
  }

  encrypt(
    source: CipherMemory,
    sourceOffset: number,
    target: CipherMemory,
    targetOffset: number,
    tweak: number,
    sectorCount: number,
  ): void {
    for (let index = 0; index < sectorCount; index++) {
      const at = index * this.#sectorBytes;
      putTweak(this.#tweakWords, 0, tweak + index * this.#tweakStep);
      const cipher = createCipheriv(this.#algorithm, this.#liveKey, this.#tweak);
      const plain = this.#sector(source, sourceOffset + at);
      this.#sector(target, targetOffset + at).set(cipher.update(plain));
    }
  }

  decrypt(memory: CipherMemory, offset: number, tweak: number, sectorCount: number): void {
    for (let index = 0; index < sectorCount; index++) {
      const at = offset + index * this.#sectorBytes;
      putTweak(this.#tweakWords, 0, tweak + index * this.#tweakStep);
      const decipher = createDecipheriv(this.#algorithm, this.#liveKey, this.#tweak);
      const sector = this.#sector(memory, at);
      sector.set(decipher.update(sector));
    }
  }

  close(): void {
    this.#key = null;
  }

  get #liveKey(): KeyObject {
    assert(this.#key !== null, "a closed cipher is not used");
    return this.#key;
  }

  #sector({ bytes }: CipherMemory, offset: number): Uint8Array {
    assert(offset >= 0 && offset + this.#sectorBytes <= bytes.length, "a sector in the memory");
    return bytes.subarray(offset, offset + this.#sectorBytes);
  }
}
