/**
 * CryptSectors: a request's segments encrypted into other memory, or decrypted where they lie.
 *
 * Segments begin and end anywhere, so that a crypto sector may straddle some of them: those few go
 * through one sector's worth of other memory. Sector numbers become tweaks here, as dm-crypt's
 * "plain64" makes them. Synchronous; owns the cipher and one scratch sector.
 */

import { copyFromSegments, copyToSegments } from "../block/segment-copy.ts";
import type { SegmentList } from "../block/segments.ts";
import type { Slab, SlabSpace } from "../reactor/slab.ts";
import type { SectorCipher } from "../sys/sector-cipher.ts";

/** dm-crypt's unit of sector numbers, whatever its own sectors' size is. */
const SECTOR_UNIT_BYTES = 512;

export interface TweakRules {
  /** Crypto sector: 512 or 4096. */
  readonly sectorBytes: number;
  /** Count sectors of `sectorBytes` instead of 512 bytes. */
  readonly ivLargeSectors: boolean;
  /** Added to offsets before they become tweaks; a multiple of `sectorBytes`. */
  readonly skipBytes: number;
}

/** From one sector's tweak to the next one's. spec: dm-crypt, iv_large_sectors */
export function tweakStep({ sectorBytes, ivLargeSectors }: TweakRules): number {
  return ivLargeSectors ? 1 : sectorBytes / SECTOR_UNIT_BYTES;
}

export class CryptSectors {
  readonly #slabs: SlabSpace;
  readonly #cipher: SectorCipher;
  readonly #sectorBytes: number;
  /** One tweak's bytes, and where counting starts. */
  readonly #unitBytes: number;
  readonly #skipBytes: number;
  readonly #tweakStep: number;
  readonly #scratch: Slab;

  /** Closes the cipher when there is no memory. @throws PenstockError `out-of-memory` */
  constructor(slabs: SlabSpace, cipher: SectorCipher, rules: TweakRules) {
    this.#slabs = slabs;
    this.#cipher = cipher;
    this.#sectorBytes = rules.sectorBytes;
    this.#tweakStep = tweakStep(rules);
    this.#unitBytes = rules.sectorBytes / this.#tweakStep;
    this.#skipBytes = rules.skipBytes;
    try {
      this.#scratch = slabs.allocate(rules.sectorBytes);
    } catch (error) {
      cipher.close();
      throw error;
    }
  }

  get cipherKind(): SectorCipher["kind"] {
    return this.#cipher.kind;
  }

  /**
   * The list's bytes [start, start + length), which belong at `position` of the device, encrypted
   * to `target`. The list's memory stays as it is. Hot path.
   */
  encryptSegments(
    segments: SegmentList,
    start: number,
    target: Slab,
    targetOffset: number,
    length: number,
    position: number,
  ): void {
    const size = this.#sectorBytes;
    let index = 0;
    let skip = start;
    for (let done = 0; done < length; ) {
      let available = segments.length(index) - skip;
      while (available <= 0) {
        skip = -available;
        available = segments.length(++index) - skip;
      }
      const tweak = this.#tweakOf(position + done);
      const to = targetOffset + done;
      let taken = Math.min(available, length - done);
      taken -= taken % size;
      if (taken > 0) {
        const source = this.#slabs.get(segments.slabId(index));
        const from = segments.offset(index) + skip;
        this.#cipher.encrypt(source, from, target, to, tweak, taken / size);
      } else {
        taken = size;
        copyFromSegments(this.#slabs, segments, start + done, target.bytes, to, size);
        this.#cipher.encrypt(target, to, target, to, tweak, 1);
      }
      done += taken;
      skip += taken;
    }
  }

  /** Encrypts in place. Hot path. */
  encrypt(memory: Slab, offset: number, length: number, position: number): void {
    const count = length / this.#sectorBytes;
    this.#cipher.encrypt(memory, offset, memory, offset, this.#tweakOf(position), count);
  }

  /** Decrypts in place. Hot path. */
  decrypt(memory: Slab, offset: number, length: number, position: number): void {
    const count = length / this.#sectorBytes;
    this.#cipher.decrypt(memory, offset, this.#tweakOf(position), count);
  }

  /** Decrypts all of the list, which was read at `position`, in place. Hot path. */
  decryptSegments(segments: SegmentList, position: number): void {
    const size = this.#sectorBytes;
    const length = segments.lengthBytes;
    let index = 0;
    let skip = 0;
    for (let done = 0; done < length; ) {
      let available = segments.length(index) - skip;
      while (available <= 0) {
        skip = -available;
        available = segments.length(++index) - skip;
      }
      const tweak = this.#tweakOf(position + done);
      let taken = available - (available % size);
      if (taken > 0) {
        const memory = this.#slabs.get(segments.slabId(index));
        this.#cipher.decrypt(memory, segments.offset(index) + skip, tweak, taken / size);
      } else {
        taken = size;
        copyFromSegments(this.#slabs, segments, done, this.#scratch.bytes, 0, size);
        this.#cipher.decrypt(this.#scratch, 0, tweak, 1);
        copyToSegments(this.#slabs, segments, done, this.#scratch.bytes, 0, size);
      }
      done += taken;
      skip += taken;
    }
  }

  /** Forgets the key. */
  close(): void {
    this.#cipher.close();
    this.#scratch.bytes.fill(0, 0, this.#sectorBytes);
    this.#slabs.release(this.#scratch);
  }

  #tweakOf(position: number): number {
    return (position + this.#skipBytes) / this.#unitBytes;
  }
}
