/**
 * SocketEnd: one end of a connection under test, with awaited sends and receives.
 *
 * Owns the socket, one slab for each direction and one vector for each. One send and one receive
 * may be in flight at the same time.
 */

import { ok } from "node:assert/strict";

import type { IoVector, SocketHandle } from "../io.ts";
import type { Slab } from "../slab.ts";
import type { AwaitedOp, Harness } from "./harness.ts";

/** Room of each slab: the most that one send or receive of a test moves. */
export const END_BYTES_MAX = 1024 * 1024;
const RANGES_MAX = 64;

export class SocketEnd {
  readonly socket: SocketHandle;
  readonly #harness: Harness;
  readonly #sendSlab: Slab;
  readonly #receiveSlab: Slab;
  readonly #sendVector: IoVector;
  readonly #receiveVector: IoVector;
  #receiving: AwaitedOp | null = null;
  #receiveEnded: Promise<void> = Promise.resolve();
  #sendEnded: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(harness: Harness, socket: SocketHandle) {
    this.#harness = harness;
    this.socket = socket;
    this.#sendSlab = harness.slab(END_BYTES_MAX);
    this.#receiveSlab = harness.slab(END_BYTES_MAX);
    this.#sendVector = harness.io.vector(RANGES_MAX);
    this.#receiveVector = harness.io.vector(RANGES_MAX);
  }

  /** The bytes of the latest receive. */
  received(lengthBytes: number): Uint8Array {
    return this.#receiveSlab.bytes.slice(0, lengthBytes);
  }

  /** Receives once into one range. */
  receive(lengthBytes: number): Promise<number> {
    return this.#receive((op) => {
      this.#harness.io.receive(op, this.socket, this.#receiveSlab, 0, lengthBytes);
    });
  }

  /** Receives once into `rangeCount` ranges that lie one behind the other. */
  receiveRanges(lengthBytes: number, rangeCount: number): Promise<number> {
    const vector = this.#receiveVector;
    this.#fill(vector, this.#receiveSlab, lengthBytes, rangeCount);
    return this.#receive((op) => this.#harness.io.receiveVector(op, this.socket, vector));
  }

  cancelReceive(): void {
    if (this.#receiving !== null) this.#harness.io.cancel(this.#receiving);
  }

  /** Sends all of `bytes` in `rangeCount` ranges; resolves with `bytes.length` or -errno. */
  async send(bytes: Uint8Array, rangeCount = 1): Promise<number> {
    ok(bytes.length <= END_BYTES_MAX, "one send of a test is at most 1 MiB");
    this.#sendSlab.bytes.set(bytes);
    const vector = this.#sendVector;
    this.#fill(vector, this.#sendSlab, bytes.length, rangeCount);
    while (vector.lengthBytes > 0) {
      const left = vector.lengthBytes;
      const sending = this.#harness.run((op) => this.#harness.io.send(op, this.socket, vector));
      this.#sendEnded = sending.then(() => undefined);
      const sent = await sending;
      if (sent < 0) return sent;
      ok(sent > 0 && sent <= left, `${sent} of ${left} bytes sent`);
      vector.advance(sent);
    }
    return bytes.length;
  }

  /** Says that nothing more will be sent. */
  end(): void {
    this.#harness.io.endSocket(this.socket);
  }

  shutdown(): void {
    this.#harness.io.shutdownSocket(this.socket);
  }

  /** Ends what is in flight and gives the socket up. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#harness.forget(this);
    this.shutdown();
    await this.#receiveEnded;
    await this.#sendEnded;
    this.#harness.io.closeSocket(this.socket);
    this.#harness.io.slabs.release(this.#sendSlab);
    this.#harness.io.slabs.release(this.#receiveSlab);
  }

  async #receive(start: (op: AwaitedOp) => void): Promise<number> {
    const receiving = this.#harness.run((op) => {
      this.#receiving = op;
      start(op);
    });
    this.#receiveEnded = receiving.then(() => undefined);
    const result = await receiving;
    this.#receiving = null;
    return result;
  }

  /** Cuts [0, lengthBytes) of the slab into ranges of random length, empty ones not. */
  #fill(vector: IoVector, slab: Slab, lengthBytes: number, rangeCount: number): void {
    vector.clear();
    let offset = 0;
    for (let left = rangeCount; left > 0 && offset < lengthBytes; left--) {
      const most = lengthBytes - offset;
      const length = left === 1 ? most : Math.min(1 + this.#harness.prng.below(most), most);
      vector.push(slab, offset, length);
      offset += length;
    }
  }
}
