/**
 * A snapshot on its way in: bytes become records that were checked, and those go to the pool, a few
 * at once. No more is taken than the pool keeps up with.
 *
 *   bytes --> header: the volume is found or made --> data, zeroes --> end: the snapshot is taken
 *
 * Owns the session until it ends. What has come of a stream that ends early is kept.
 */

import type { ReceiveSession, VersionCalls } from "../pipe/version-calls.ts";
import type { SnapshotInfo } from "../pool/pool-info.ts";
import type { ReceiveOptions } from "../pool/stream/receive-target.ts";
import type { StreamPiece } from "../pool/stream/send-run.ts";
import { StreamParser } from "../pool/stream/stream-parser.ts";
import { assert } from "../util/assert.ts";

/** Records that are being written, of at most 1 MiB each. */
const WRITING_MAX = 4;

/**
 * @param chunks the stream's bytes, split anyhow
 * @throws PenstockError `stream-damaged`, `stream-cut`, `stream-newer`, and as `prepareReceive`
 */
export async function receiveStream(
  host: Pick<VersionCalls, "receive">,
  pool: string,
  chunks: AsyncIterable<Uint8Array>,
  options: ReceiveOptions,
): Promise<SnapshotInfo> {
  const parser = new StreamParser();
  let writing: WriteWindow | null = null;
  try {
    for await (const chunk of chunks) {
      for await (const record of parser.push(chunk)) {
        if (record.kind === "header") {
          const opened = await host.receive(pool, record.header, options);
          if ("taken" in opened) return opened.taken;
          writing = new WriteWindow(opened);
        } else if (record.kind !== "end") {
          assert(writing !== null, "a header comes first: the parser has checked it");
          const { first, count } = record;
          const bytes = record.kind === "data" ? record.bytes : null;
          await writing.put({ first, count, bytes });
        }
      }
    }
    parser.checkEnded();
    assert(writing !== null, "what has ended has begun");
    return await writing.finish();
  } finally {
    await writing?.close();
  }
}

/** Lets a few records be written at once. */
class WriteWindow {
  readonly #session: ReceiveSession;
  readonly #writing = new Set<Promise<void>>();
  #failure: { readonly thrown: unknown } | null = null;

  constructor(session: ReceiveSession) {
    this.#session = session;
  }

  /** Settles when there is room for the next one. @throws what an earlier one failed with */
  async put(piece: StreamPiece): Promise<void> {
    const written = this.#session.put([piece]).catch((thrown: unknown) => {
      this.#failure ??= { thrown };
    });
    this.#writing.add(written);
    void written.then(() => this.#writing.delete(written));
    if (this.#writing.size >= WRITING_MAX) await Promise.race(this.#writing);
    this.#check();
  }

  async finish(): Promise<SnapshotInfo> {
    await Promise.all(this.#writing);
    this.#check();
    return await this.#session.finish();
  }

  async close(): Promise<void> {
    await Promise.all(this.#writing);
    await this.#session.close();
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure.thrown;
  }
}
