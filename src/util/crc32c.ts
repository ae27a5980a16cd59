/**
 * CRC32C (Castagnoli), the checksum of NVMe/TCP and iSCSI digests.
 *
 * Short messages go through a table, sixteen bytes a step. Long ones are copied into the memory of
 * a WebAssembly program, which shortens them first (crc32c-fold.ts); that program is made when the
 * first long message comes, once per thread. Without vectors there, the table does all.
 */

import { assert } from "./assert.ts";
import {
  type CrcFold,
  FOLD_BODY_AT,
  FOLD_BODY_BYTES_MAX,
  FOLD_STEP_BYTES,
  FOLD_TAIL_AT,
  FOLD_TAIL_BYTES_MIN,
  makeCrcFold,
} from "./crc32c-fold.ts";

/** The polynomial 0x1EDC6F41 with its bits reversed: the checksum goes from low bit to high. */
const POLYNOMIAL = 0x82f63b78;
const STEP_BYTES = 16;
/** From here on folding is faster than the table (measured: equal at 512 bytes). */
const FOLDED_BYTES_MIN = 640;

/** Table n (256 entries each) is a byte's effect when n more bytes of zero follow it. */
const TABLES = makeTables();

/**
 * The CRC32C of `length` bytes of `bytes` from `start` on, as an unsigned 32-bit number.
 *
 * `seed` is the result for what came before (0 at the beginning), so that
 * crc32c(b, 0, n, crc32c(a, 0, m)) is that of a and b one after the other. In an NVMe/TCP PDU the
 * digest is this number in little-endian order. Allocates nothing.
 * spec: NVMe/TCP 3.3.1.1, RFC 3720 12.1 (the same checksum)
 */
// hot path
export function crc32c(bytes: Uint8Array, start: number, length: number, seed = 0): number {
  assert(start >= 0 && start + length <= bytes.length, "the message lies within its memory");
  if (length < FOLDED_BYTES_MIN) {
    return ~crcByTable(bytes, start, start + length, ~seed) >>> 0;
  }
  fold ??= makeCrcFold();
  return fold === null
    ? ~crcByTable(bytes, start, start + length, ~seed) >>> 0
    : crcByFold(fold, bytes, start, length, seed);
}

/** Undefined until it is needed, null where there is none. */
let fold: CrcFold | null | undefined;

// hot path
function crcByFold(
  { bytes: memory, words, run }: CrcFold,
  bytes: Uint8Array,
  start: number,
  length: number,
  seed: number,
): number {
  let crc = ~seed;
  let at = start;
  const end = start + length;
  while (end - at >= FOLDED_BYTES_MIN) {
    const foldable = end - at - FOLD_TAIL_BYTES_MIN;
    const body = Math.min(FOLD_BODY_BYTES_MAX, foldable - (foldable % FOLD_STEP_BYTES));
    copy(bytes, at, memory, FOLD_BODY_AT, body);
    copy(bytes, at + body, memory, FOLD_TAIL_AT, FOLD_TAIL_BYTES_MIN);
    // What came before counts as if it were XORed to the first four bytes.
    words[FOLD_BODY_AT >> 2] = (words[FOLD_BODY_AT >> 2] as number) ^ crc;
    run(body);
    crc = crcByTable(memory, FOLD_TAIL_AT, FOLD_TAIL_AT + FOLD_TAIL_BYTES_MIN, 0);
    at += body + FOLD_TAIL_BYTES_MIN;
  }
  return ~crcByTable(bytes, at, end, crc) >>> 0;
}

/** Buffer's own copy takes any Uint8Array, and unlike `set(subarray())` it makes no view. */
// hot path
function copy(
  source: Uint8Array,
  sourceStart: number,
  target: Uint8Array,
  targetStart: number,
  length: number,
): void {
  Buffer.prototype.copy.call(
    source as Buffer,
    target,
    targetStart,
    sourceStart,
    sourceStart + length,
  );
}

/** The bare checksum: not complemented, neither before nor after. */
// hot path
function crcByTable(bytes: Uint8Array, start: number, end: number, before: number): number {
  let crc = before;
  let at = start;
  const lastStep = end - STEP_BYTES;
  while (at <= lastStep) {
    crc = stepOf16(bytes, at, crc);
    at += STEP_BYTES;
  }
  while (at < end) {
    crc = (crc >>> 8) ^ (TABLES[(crc ^ (bytes[at] as number)) & 0xff] as number);
    at++;
  }
  return crc;
}

// hot path
function stepOf16(bytes: Uint8Array, at: number, before: number): number {
  const b = bytes;
  const t = TABLES;
  const crc =
    before ^
    (b[at] as number) ^
    ((b[at + 1] as number) << 8) ^
    ((b[at + 2] as number) << 16) ^
    ((b[at + 3] as number) << 24);
  return (
    (t[3840 + (crc & 0xff)] as number) ^
    (t[3584 + ((crc >>> 8) & 0xff)] as number) ^
    (t[3328 + ((crc >>> 16) & 0xff)] as number) ^
    (t[3072 + (crc >>> 24)] as number) ^
    (t[2816 + (b[at + 4] as number)] as number) ^
    (t[2560 + (b[at + 5] as number)] as number) ^
    (t[2304 + (b[at + 6] as number)] as number) ^
    (t[2048 + (b[at + 7] as number)] as number) ^
    (t[1792 + (b[at + 8] as number)] as number) ^
    (t[1536 + (b[at + 9] as number)] as number) ^
    (t[1280 + (b[at + 10] as number)] as number) ^
    (t[1024 + (b[at + 11] as number)] as number) ^
    (t[768 + (b[at + 12] as number)] as number) ^
    (t[512 + (b[at + 13] as number)] as number) ^
    (t[256 + (b[at + 14] as number)] as number) ^
    (t[b[at + 15] as number] as number)
  );
}

function makeTables(): Int32Array {
  const tables = new Int32Array(256 * STEP_BYTES);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) {
      crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    }
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at++) {
    const previous = tables[at - 256] as number;
    tables[at] = (previous >>> 8) ^ (tables[previous & 0xff] as number);
  }
  return tables;
}
