/**
 * Connecting with a time limit: the kernel's own is minutes.
 */

import { PenstockError } from "../util/errors.ts";
import type { Io, SocketAddress, SocketHandle } from "./io.ts";
import { formatSocketAddress } from "./io-errors.ts";

/**
 * As `Io.connect`, ended after `limitMs` with `connection-timeout`.
 * @param signal ends it sooner, with `aborted`
 */
export async function connectWithin(
  io: Io,
  address: SocketAddress,
  limitMs: number,
  signal?: AbortSignal,
): Promise<SocketHandle> {
  const limit = new AbortController();
  const onAbort = (): void => limit.abort();
  let isLate = false;
  const timer = io.clock.startTimer(limitMs, () => {
    isLate = true;
    limit.abort();
  });
  if (signal?.aborted === true) limit.abort();
  signal?.addEventListener("abort", onAbort);
  try {
    return await io.connect(address, limit.signal);
  } catch (thrown) {
    if (!isLate) throw thrown;
    throw new PenstockError({
      code: "connection-timeout",
      message: `${formatSocketAddress(address)} has not answered within ${limitMs} ms`,
      retryable: true,
      cause: thrown,
    });
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}
