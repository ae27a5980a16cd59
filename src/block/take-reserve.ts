/**
 * takeReserve: the buffer that a device sets aside when it opens, to go on with when the pool of
 * its reactor is empty.
 */

import { type BufferPool, BufferReserve } from "../reactor/buffer-pool.ts";
import { PenstockError } from "../util/errors.ts";

/** Enough for any block, little enough to be had from the smallest pool: work goes on in pieces. */
export const PIECE_RESERVE_BYTES = 16 * 1024;

/**
 * @param owner who closes it, for the message
 * @throws PenstockError `out-of-buffers`: the owner must not start
 */
export function takeReserve(
  pool: BufferPool,
  owner: string,
  lengthBytes: number = PIECE_RESERVE_BYTES,
): BufferReserve {
  const reserve = BufferReserve.create(pool, lengthBytes);
  if (reserve !== null) return reserve;
  throw new PenstockError({
    code: "out-of-buffers",
    message:
      `no buffer of ${lengthBytes} bytes is left for ${owner}, which keeps one: ` +
      "give more memory (--buffer-limit)",
    retryable: true,
  });
}
