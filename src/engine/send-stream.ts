/**
 * A snapshot on its way out: pieces drawn from its pool become the bytes of a send stream, no
 * faster than they are taken. Owns the session until it ends.
 */

import type { SendSession } from "../pipe/version-calls.ts";
import { BLOCK_BYTES } from "../pool/pool-layout.ts";
import { StreamEncoder } from "../pool/stream/stream-encoder.ts";

export interface SentBytes {
  readonly data: Uint8Array;
  /** Of the volume, how far the stream has come. */
  readonly positionBytes: number;
  readonly sizeBytes: number;
}

/**
 * @param signal aborts when nobody listens any more
 * @throws what the pool could not read; PenstockError `aborted`
 */
export async function* sendStream(
  session: SendSession,
  { zstd, signal }: { readonly zstd: boolean; readonly signal: AbortSignal },
): AsyncGenerator<SentBytes> {
  const { header } = session;
  const { sizeBytes } = header;
  const end = (): void => void session.close();
  // Whoever is waited for: a reader that is gone, or the pool.
  signal.addEventListener("abort", end, { once: true });
  try {
    if (signal.aborted) return;
    const encoder = new StreamEncoder({ zstd });
    let position = header.startBlock;
    const sent = (data: Uint8Array): SentBytes => {
      const positionBytes = Math.min(position * BLOCK_BYTES, sizeBytes);
      return { data, positionBytes, sizeBytes };
    };
    yield sent(encoder.header(header));
    let ahead = drawn(session);
    for (let pieces = await ahead; pieces !== null; pieces = await ahead) {
      // Read while these are packed and taken.
      ahead = drawn(session);
      for (const { first, count, bytes } of pieces) {
        position = first + count;
        yield sent(
          bytes === null ? encoder.zero(first, count) : await encoder.data(first, count, bytes),
        );
      }
    }
    position = Math.ceil(sizeBytes / BLOCK_BYTES);
    yield sent(encoder.end());
  } finally {
    signal.removeEventListener("abort", end);
    await session.close();
  }
}

/** Its failure is for whoever awaits it, if anybody ever does. */
function drawn(session: SendSession): ReturnType<SendSession["next"]> {
  const next = session.next();
  next.catch(() => undefined);
  return next;
}
