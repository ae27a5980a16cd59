/**
 * Writes a known pattern to a share, reads it back over another connection, and compares
 * every byte; then trims a part and reads zeroes. Overwrites what is there.
 *
 * What belongs at each place follows from the seed alone, so nothing is remembered.
 */

import { Prng } from "../util/prng.ts";
import { PenstockError } from "../util/errors.ts";
import { type CheckClient, connectCheckClient } from "./check-client.ts";

/** The pattern is made in pieces of this; requests are 1 to 16 of them. */
const PIECE_BYTES = 16 * 1024;
const PIECES_PER_REQUEST_MAX = 16;
const REQUESTS_IN_FLIGHT = 16;

export interface VerifySummary {
  readonly bytes: number;
  readonly requests: number;
  readonly writeMs: number;
  readonly readMs: number;
}

interface Range {
  readonly offset: number;
  readonly lengthBytes: number;
}

/**
 * Checks the first `lengthBytes` (a multiple of 32 KiB) of the share.
 * @param readUri another share of the same device, for reading; default: `uri`
 * @throws PenstockError `mismatch` with the first wrong offset, or what the server answered
 */
export async function verifyExport(
  uri: string,
  options: { readonly lengthBytes: number; readonly seed: number },
  readUri: string = uri,
): Promise<VerifySummary> {
  const { lengthBytes, seed } = options;
  const writes = shuffledRanges(lengthBytes, new Prng(seed));
  const writer = await connectCheckClient(uri);
  checkSize(writer.sizeBytes, lengthBytes);
  const startMs = performance.now();
  await forEachRange(writes, async (range) => writer.write(range.offset, pattern(seed, range)));
  await writer.flush();
  const writtenMs = performance.now();
  await writer.close();
  const reader = await connectCheckClient(readUri);
  const reads = shuffledRanges(lengthBytes, new Prng(seed + 1));
  await forEachRange(reads, async (range) => {
    const data = await reader.read(range.offset, range.lengthBytes);
    compare(data, pattern(seed, range), range.offset);
  });
  const readMs = performance.now() - writtenMs;
  await checkTrim(reader, lengthBytes, seed);
  await reader.close();
  const requests = writes.length + reads.length;
  return { bytes: lengthBytes, requests, writeMs: writtenMs - startMs, readMs };
}

/** A trimmed range of ours reads as zeroes, its neighbours as before. */
async function checkTrim(client: CheckClient, lengthBytes: number, seed: number): Promise<void> {
  const half = lengthBytes / 2;
  await client.trim(half, PIECE_BYTES);
  await client.flush();
  const zeroes = await client.read(half, PIECE_BYTES);
  compare(zeroes, Buffer.alloc(PIECE_BYTES), half);
  const before = { offset: half - PIECE_BYTES, lengthBytes: PIECE_BYTES };
  compare(await client.read(before.offset, PIECE_BYTES), pattern(seed, before), before.offset);
}

/** Cuts [0, lengthBytes) into requests of different sizes, in a different order. */
function shuffledRanges(lengthBytes: number, prng: Prng): Range[] {
  const ranges: Range[] = [];
  for (let offset = 0; offset < lengthBytes; ) {
    const wanted = (1 + prng.below(PIECES_PER_REQUEST_MAX)) * PIECE_BYTES;
    const taken = Math.min(wanted, lengthBytes - offset);
    ranges.push({ offset, lengthBytes: taken });
    offset += taken;
  }
  for (let index = ranges.length - 1; index > 0; index--) {
    const other = prng.below(index + 1);
    const swapped = ranges[index] as Range;
    ranges[index] = ranges[other] as Range;
    ranges[other] = swapped;
  }
  return ranges;
}

async function forEachRange(
  ranges: readonly Range[],
  work: (range: Range) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let range = ranges[next++]; range !== undefined; range = ranges[next++]) {
      await work(range);
    }
  };
  await Promise.all(Array.from({ length: REQUESTS_IN_FLIGHT }, lane));
}

/** What belongs at `range`, which starts and ends on a piece. */
function pattern(seed: number, range: Range): Buffer {
  const data = Buffer.allocUnsafe(range.lengthBytes);
  for (let at = 0; at < range.lengthBytes; at += PIECE_BYTES) {
    const prng = new Prng(`${seed}:${range.offset + at}`);
    for (let word = at; word < at + PIECE_BYTES; word += 4) {
      data.writeUInt32LE(prng.nextUint32(), word);
    }
  }
  return data;
}

function compare(found: Buffer, expected: Buffer, offset: number): void {
  if (found.equals(expected)) return;
  const at = offset + found.findIndex((byte, index) => byte !== expected[index]);
  throw new PenstockError({
    code: "mismatch",
    message: `the byte at ${at} is not the one that was written`,
    details: { offset: at },
  });
}

function checkSize(sizeBytes: number, lengthBytes: number): void {
  if (sizeBytes >= lengthBytes) return;
  throw new PenstockError({
    code: "size-invalid",
    message: `the export has ${sizeBytes} bytes, fewer than the ${lengthBytes} to check`,
  });
}
