/**
 * Sends snapshots from pool to pool, byte by byte as an engine does, and cuts the stream wherever a
 * test wants it cut.
 */

import { receiveStream } from "../engine/receive-stream.ts";
import { sendStream } from "../engine/send-stream.ts";
import type { ReceiveSession, VersionCalls } from "../pipe/version-calls.ts";
import type { OpenedSend, SendOpening } from "../pipe/version-protocol.ts";
import { VersionSessions } from "../pipe/version-sessions.ts";
import type { Pool } from "../pool/pool.ts";
import type { SnapshotInfo } from "../pool/pool-info.ts";
import { encodeToken } from "../pool/stream/receive-state.ts";
import type { ReceiveOptions } from "../pool/stream/receive-target.ts";
import { PenstockError } from "../util/errors.ts";

const CHUNK_BYTES = 100_000;
const POOL = "p";

/** One pool and what an engine does with it. */
export class StreamEnd {
  readonly pool: Pool;
  readonly sessions: VersionSessions;

  constructor(pool: Pool, cursorBytes?: number) {
    this.pool = pool;
    this.sessions = new VersionSessions(() => pool, cursorBytes);
  }

  /** All bytes of a stream. */
  async send(opening: Partial<SendOpening>, zstd = false): Promise<Buffer> {
    const whole = { snapshot: null, base: null, token: null, ...opening };
    const { session, header } = await this.sessions.openSend({ pool: POOL, opening: whole });
    const chunks: Uint8Array[] = [];
    const { signal } = new AbortController();
    const drawn = {
      header: header as OpenedSend["header"],
      next: async () => {
        const pieces = await this.sessions.nextSend({ session });
        return pieces.length === 0 ? null : pieces;
      },
      close: () => this.sessions.closeSession({ session }),
    };
    for await (const { data } of sendStream(drawn, { zstd, signal })) chunks.push(data);
    return Buffer.concat(chunks);
  }

  /** @param cut after so many bytes the connection is gone, or something else happens */
  async receive(
    stream: Uint8Array,
    options: Partial<ReceiveOptions> & { readonly volume: string },
    cut: { readonly at: number; happens?(): Promise<never> } = { at: Number.POSITIVE_INFINITY },
  ): Promise<SnapshotInfo> {
    const whole = { snapshot: null, isThin: true, rollback: false, ...options };
    return await receiveStream(this.#host, POOL, pieces(stream, cut), whole);
  }

  async token(volume: string): Promise<string | null> {
    const state = await this.sessions.receiveState({ pool: POOL, name: volume });
    return state === null ? null : encodeToken(state);
  }

  get #host(): Pick<VersionCalls, "receive"> {
    return {
      receive: async (pool, header, options) => {
        const opened = await this.sessions.openReceive({ pool, header, options });
        if ("taken" in opened) return opened;
        const { session } = opened;
        const live: ReceiveSession = {
          put: (pieces) => this.sessions.putReceive({ session, pieces }),
          finish: () => this.sessions.finishReceive({ session }),
          close: () => this.sessions.closeSession({ session }),
        };
        return live;
      },
    };
  }
}

/** What the cut looks like to whoever reads. */
export const CUT = new PenstockError({ code: "test-cut", message: "the connection is gone" });

async function* pieces(
  stream: Uint8Array,
  cut: { readonly at: number; happens?(): Promise<never> },
): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < stream.length; at += CHUNK_BYTES) {
    const end = Math.min(at + CHUNK_BYTES, stream.length);
    if (end >= cut.at) {
      yield stream.subarray(at, cut.at);
      await cut.happens?.();
      throw CUT;
    }
    yield stream.subarray(at, end);
  }
}
