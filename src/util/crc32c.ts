/**
 * CRC32C (Castagnoli), the checksum of NVMe/TCP and iSCSI digests: a table, sixteen bytes a step.
 *
 * Pure and stateless: the tables are made once per thread and only read from then on.
 */

/** The polynomial 0x1EDC6F41 with its bits reversed: the checksum goes from low bit to high. */
const POLYNOMIAL = 0x82f63b78;
const STEP_BYTES = 16;

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
  let crc = ~seed;
  let at = start;
  const end = start + length;
  const lastStep = end - STEP_BYTES;
  while (at <= lastStep) {
    crc = stepOf16(bytes, at, crc);
    at += STEP_BYTES;
  }
  while (at < end) {
    crc = (crc >>> 8) ^ (TABLES[(crc ^ (bytes[at] as number)) & 0xff] as number);
    at++;
  }
  return ~crc >>> 0;
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
