/**
 * StreamParser: takes the bytes of a send stream as they come, however they are split, and gives
 * the records that they are, each checked whole before anybody sees it.
 *
 *   header --> data, zeroes: in the order of their blocks, none twice --> end --> nothing more
 *
 * Owns at most one record's bytes. After an error nothing more is taken.
 */

import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { assert } from "../../util/assert.ts";
import { crc32c } from "../../util/crc32c.ts";
import { PenstockError } from "../../util/errors.ts";
import {
  blocksOf,
  decodeEnd,
  decodeHeader,
  HEAD_BYTES,
  headCrc,
  lengthOfBlocks,
  Packing,
  type RecordHead,
  RecordType,
  readHead,
  STREAM_HASH_BYTES,
  StreamFeature,
  type StreamHeader,
} from "./stream-format.ts";

const decompress = promisify(zstdDecompress);

export type StreamRecord =
  | { readonly kind: "header"; readonly header: StreamHeader }
  /** `bytes` are the receiver's. */
  | {
      readonly kind: "data";
      readonly first: number;
      readonly count: number;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: "zero"; readonly first: number; readonly count: number }
  /** Everything before it is what was sent. */
  | { readonly kind: "end" };

export class StreamParser {
  readonly #hash = createHash("sha256");
  /** Of the record that is coming. */
  readonly #headBytes = new Uint8Array(HEAD_BYTES);
  #headFilled = 0;
  #head: RecordHead | null = null;
  #payload = new Uint8Array(0);
  #payloadFilled = 0;
  #chain = 0;
  #sequence = 0;
  #header: StreamHeader | null = null;
  /** The next record begins here or later. */
  #nextBlock = 0;
  #dataBlocks = 0;
  #zeroBlocks = 0;
  #hasEnded = false;

  /** True when nothing is missing: the end was there, and nothing of another record. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /**
   * The records that `bytes` complete. Take all of them before the next call.
   * @throws PenstockError `stream-damaged`, `stream-newer`
   */
  async *push(bytes: Uint8Array): AsyncGenerator<StreamRecord> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#hasEnded) throw damaged("something follows its end");
      at += this.#head === null ? this.#takeHead(bytes, at) : this.#takePayload(bytes, at);
      const head = this.#head as RecordHead | null;
      if (head !== null && this.#payloadFilled === head.payloadBytes) yield await this.#take(head);
    }
  }

  /** Of the stream that ends here. @throws PenstockError `stream-cut` */
  checkEnded(): void {
    if (this.#hasEnded) return;
    throw new PenstockError({
      code: "stream-cut",
      message: `the stream ends after ${this.#sequence} records, before its end`,
      retryable: true,
    });
  }

  #takeHead(bytes: Uint8Array, at: number): number {
    const taken = Math.min(HEAD_BYTES - this.#headFilled, bytes.length - at);
    this.#headBytes.set(bytes.subarray(at, at + taken), this.#headFilled);
    this.#headFilled += taken;
    if (this.#headFilled < HEAD_BYTES) return taken;
    const head = readHead(this.#headBytes, 0, this.#chain);
    if (typeof head === "string") throw damaged(head);
    if (head.sequence !== this.#sequence) throw damaged("its records are not in order");
    const isFirst = this.#header === null;
    if (isFirst !== (head.type === RecordType.header)) {
      throw damaged("it does not begin with one header");
    }
    if (head.type === RecordType.data || head.type === RecordType.zero) this.#checkExtent(head);
    this.#chain = headCrc(this.#headBytes, 0);
    if (head.type !== RecordType.end) this.#hash.update(this.#headBytes);
    this.#head = head;
    this.#payload = new Uint8Array(head.payloadBytes);
    this.#payloadFilled = 0;
    return taken;
  }

  #takePayload(bytes: Uint8Array, at: number): number {
    const taken = Math.min(this.#payload.length - this.#payloadFilled, bytes.length - at);
    this.#payload.set(bytes.subarray(at, at + taken), this.#payloadFilled);
    this.#payloadFilled += taken;
    return taken;
  }

  /** Before memory is taken for what it says. */
  #checkExtent({ type, packing, first, count, payloadBytes }: RecordHead): void {
    const header = this.#known;
    if (first < this.#nextBlock) throw damaged(`block ${first} comes twice or too late`);
    if (first + count > blocksOf(header.sizeBytes)) throw damaged("it goes on behind its end");
    this.#nextBlock = first + count;
    if (type !== RecordType.data) return;
    const length = lengthOfBlocks(first, count, header.sizeBytes);
    const isZstd = packing === Packing.zstd;
    if (isZstd && (header.features & StreamFeature.zstd) === 0) {
      throw damaged("a record is compressed, and its header says that none is");
    }
    if (isZstd ? payloadBytes < length : payloadBytes === length) return;
    throw damaged(`${count} blocks have ${payloadBytes} bytes`);
  }

  async #take(head: RecordHead): Promise<StreamRecord> {
    const payload = this.#payload;
    this.#head = null;
    this.#headFilled = 0;
    this.#payload = new Uint8Array(0);
    this.#payloadFilled = 0;
    if (crc32c(payload, 0, payload.length) !== head.payloadCrc) {
      throw damaged(`record ${head.sequence} is not what its checksum says`);
    }
    if (head.type === RecordType.end) return this.#end(payload);
    this.#hash.update(payload);
    this.#sequence++;
    const { first, count } = head;
    switch (head.type) {
      case RecordType.header:
        return { kind: "header", header: this.#begin(payload) };
      case RecordType.data:
        this.#dataBlocks += count;
        return { kind: "data", first, count, bytes: await this.#unpack(head, payload) };
      case RecordType.zero:
        this.#zeroBlocks += count;
        return { kind: "zero", first, count };
    }
  }

  #begin(payload: Uint8Array): StreamHeader {
    const header = decodeHeader(payload);
    if (typeof header === "string") {
      if (!header.startsWith("newer: ")) throw damaged(header);
      const message = `the stream was made by a newer Penstock (${header.slice(7)})`;
      throw new PenstockError({ code: "stream-newer", message });
    }
    this.#header = header;
    this.#nextBlock = header.startBlock;
    return header;
  }

  async #unpack({ packing, first, count }: RecordHead, payload: Uint8Array): Promise<Uint8Array> {
    if (packing === Packing.none) return payload;
    const length = lengthOfBlocks(first, count, this.#known.sizeBytes);
    let unpacked: Uint8Array | null = null;
    try {
      unpacked = await decompress(payload, { maxOutputLength: length });
    } catch (_notZstdOrTooLong) {
      // Said below.
    }
    if (unpacked?.length !== length) throw damaged("a compressed record is not what it says");
    return unpacked;
  }

  #end(payload: Uint8Array): StreamRecord {
    const { dataBlocks, zeroBlocks, records, hash } = decodeEnd(payload);
    const isRight =
      dataBlocks === this.#dataBlocks &&
      zeroBlocks === this.#zeroBlocks &&
      records === this.#sequence &&
      Buffer.compare(hash, this.#hash.digest()) === 0 &&
      hash.length === STREAM_HASH_BYTES;
    if (!isRight) throw damaged("what came is not what its end says was sent");
    this.#hasEnded = true;
    return { kind: "end" };
  }

  get #known(): StreamHeader {
    assert(this.#header !== null, "the header comes first: checked");
    return this.#header;
  }
}

function damaged(what: string): PenstockError {
  return new PenstockError({
    code: "stream-damaged",
    message: `the stream cannot be received: ${what}`,
  });
}
