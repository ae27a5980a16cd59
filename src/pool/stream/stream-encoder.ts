/**
 * StreamEncoder: makes the bytes of a send stream, record by record. Owns its counters; one call
 * at a time. Nothing it returns is kept by it.
 */

import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { constants, zstdCompress } from "node:zlib";
import { assert } from "../../util/assert.ts";
import { crc32c } from "../../util/crc32c.ts";
import {
  encodeEnd,
  encodeHeader,
  HEAD_BYTES,
  Packing,
  RecordType,
  type StreamHeader,
  StreamFeature,
  writeHead,
} from "./stream-format.ts";

const compress = promisify(zstdCompress);
/** Fast, and most of the gain. */
const ZSTD_LEVEL = 3;
const NOTHING = new Uint8Array(0);

export class StreamEncoder {
  readonly #hash = createHash("sha256");
  readonly #isZstd: boolean;
  #chain = 0;
  #sequence = 0;
  #dataBlocks = 0;
  #zeroBlocks = 0;

  constructor({ zstd }: { readonly zstd: boolean }) {
    this.#isZstd = zstd;
  }

  /** Comes first, once. */
  header(header: Omit<StreamHeader, "features">): Uint8Array {
    assert(this.#sequence === 0, "a stream begins with its header");
    const features = this.#isZstd ? StreamFeature.zstd : 0;
    const payload = encodeHeader({ ...header, features });
    return this.#record(RecordType.header, Packing.none, 0, 0, payload);
  }

  /** @param bytes of the blocks, as they are on the volume; the caller's until it settles */
  async data(first: number, count: number, bytes: Uint8Array): Promise<Uint8Array> {
    this.#dataBlocks += count;
    if (this.#isZstd) {
      const packed = await compress(bytes, {
        params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL },
      });
      if (packed.length < bytes.length) {
        return this.#record(RecordType.data, Packing.zstd, first, count, packed);
      }
    }
    return this.#record(RecordType.data, Packing.none, first, count, bytes);
  }

  zero(first: number, count: number): Uint8Array {
    this.#zeroBlocks += count;
    return this.#record(RecordType.zero, Packing.none, first, count, NOTHING);
  }

  /** Comes last, once. */
  end(): Uint8Array {
    const payload = encodeEnd({
      dataBlocks: this.#dataBlocks,
      zeroBlocks: this.#zeroBlocks,
      records: this.#sequence,
      hash: this.#hash.copy().digest(),
    });
    return this.#record(RecordType.end, Packing.none, 0, 0, payload);
  }

  #record(
    type: RecordType,
    packing: Packing,
    first: number,
    count: number,
    payload: Uint8Array,
  ): Uint8Array {
    const bytes = new Uint8Array(HEAD_BYTES + payload.length);
    const payloadCrc = crc32c(payload, 0, payload.length);
    const sequence = this.#sequence++;
    const head = { type, packing, sequence, first, count, payloadCrc };
    this.#chain = writeHead({ ...head, payloadBytes: payload.length }, bytes, 0, this.#chain);
    bytes.set(payload, HEAD_BYTES);
    this.#hash.update(bytes);
    return bytes;
  }
}
