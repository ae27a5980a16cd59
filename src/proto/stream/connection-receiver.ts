/**
 * ConnectionReceiver: receives a connection's bytes: requests into the window, the rest of a
 * payload straight into its own buffer with what follows it behind in the window.
 *
 * Owns the window, the payload under way and the one receive in flight. As long as that has not
 * ended, the kernel may write into both.
 */

import type { ByteStream } from "../../reactor/byte-stream.ts";
import { IoOp, type IoVector } from "../../reactor/io.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import { Payload } from "./payload.ts";
import type { ReceiveVectors } from "./receive-vectors.ts";
import type { ReceiveWindow } from "./receive-window.ts";

/** The rest of a payload is waited for in pieces of at most this, if it is at least that. */
const EXPECT_BYTES_MIN = 16 * 1024;
const EXPECT_BYTES_MAX = 256 * 1024;

export interface ReceiverOwner {
  /** @param result bytes, for `take` if they are wanted; 0 at the end of the stream; or -errno */
  received(result: number): void;
}

export interface ReceiverParts {
  readonly owner: ReceiverOwner;
  readonly reactor: Reactor;
  readonly stream: ByteStream;
  readonly window: ReceiveWindow;
  readonly vectors: ReceiveVectors;
}

export class ConnectionReceiver<C> extends IoOp {
  readonly payload = new Payload<C>();
  readonly window: ReceiveWindow;
  /** When something was last received, or the client was last told that it may send. */
  progressMs = 0;
  readonly #owner: ReceiverOwner;
  readonly #reactor: Reactor;
  readonly #stream: ByteStream;
  readonly #vectors: ReceiveVectors;
  #vector: IoVector | null = null;

  constructor({ owner, reactor, stream, window, vectors }: ReceiverParts) {
    super();
    this.window = window;
    this.#owner = owner;
    this.#reactor = reactor;
    this.#stream = stream;
    this.#vectors = vectors;
    reactor.io.attach(this);
  }

  /**
   * Starts a receive; `neededBytes` from the window's start on must fit in all.
   * @returns false: the window cannot have the memory now. Hot path.
   */
  receive(neededBytes: number): boolean {
    if (this.payload.isUnderWay) {
      this.#receivePayload();
      return true;
    }
    const { window } = this;
    this.#stream.expect(1);
    if (!window.prepare(neededBytes)) return false;
    const { slab, offset } = window.buffer;
    this.#stream.receive(this, slab, offset + window.end, window.room);
    return true;
  }

  /** Receives what nobody will read. @returns false: there is no memory for that */
  discard(): boolean {
    this.window.start = 0;
    this.window.end = 0;
    return this.receive(1);
  }

  /** Counts what has arrived in the payload, then in the window. Hot path. */
  take(lengthBytes: number): void {
    const { payload } = this;
    let left = lengthBytes;
    if (payload.isUnderWay) {
      const taken = Math.min(left, payload.wantedBytes - payload.filledBytes);
      payload.filledBytes += taken;
      left -= taken;
    }
    if (left > 0) this.window.received(left);
  }

  /** The client is kept waiting no longer. */
  noteProgress(): void {
    this.progressMs = this.#reactor.clock.nowMs();
  }

  cancel(): void {
    if (this.inFlight) this.#stream.cancelReceive(this);
  }

  /** Gives everything up; nothing is in flight. */
  close(): void {
    this.window.release();
    this.#reactor.io.detach(this);
  }

  // hot path
  override complete(result: number): void {
    this.progressMs = this.#reactor.clock.nowMs();
    if (this.#vector !== null) {
      this.#vectors.give(this.#vector);
      this.#vector = null;
    }
    this.#owner.received(result);
  }

  // hot path
  #receivePayload(): void {
    const { payload, window } = this;
    const { buffer } = payload;
    assert(buffer !== null, "a payload under way has its buffer");
    const vector = this.#vectors.take();
    this.#vector = vector;
    const at = buffer.offset + payload.offset + payload.filledBytes;
    const missing = payload.wantedBytes - payload.filledBytes;
    this.#stream.expect(missing < EXPECT_BYTES_MIN ? 1 : Math.min(missing, EXPECT_BYTES_MAX));
    vector.push(buffer.slab, at, missing);
    if (window.prepare(1)) {
      vector.push(window.buffer.slab, window.buffer.offset + window.end, window.room);
    }
    this.#reactor.noteBulk();
    this.#stream.receiveVector(this, vector);
  }
}
