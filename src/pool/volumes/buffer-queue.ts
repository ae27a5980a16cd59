/**
 * BufferQueue: buffers for partial blocks and comparisons, first come, first served, of the
 * reactor's pool or, when that is empty, of the reserve of the pool of disks.
 *
 * Whoever holds one goes on without another, so each comes back.
 */

import type { BufferReserve, BufferWaiter, PoolBuffer } from "../../reactor/buffer-pool.ts";
import type { Reactor } from "../../reactor/reactor.ts";

export interface BufferTaker {
  nextTaker: BufferTaker | null;
  /** Wanted; the buffer may have less, but two blocks at least. */
  readonly bufferBytes: number;
  /** In the turn, when there was none at first. */
  bufferTaken(buffer: PoolBuffer): void;
}

export class BufferQueue implements BufferWaiter {
  readonly #reactor: Reactor;
  readonly #reserve: BufferReserve;
  #first: BufferTaker | null = null;
  #last: BufferTaker | null = null;

  /** The reserve is the queue's from now on. */
  constructor(reactor: Reactor, reserve: BufferReserve) {
    this.#reactor = reactor;
    this.#reserve = reserve;
  }

  /** @returns null: `bufferTaken` follows. Hot path. */
  acquire(taker: BufferTaker): PoolBuffer | null {
    const isNext = this.#first === null;
    const buffer = isNext ? this.#reserve.acquirePiece(taker.bufferBytes) : null;
    if (buffer !== null) return buffer;
    taker.nextTaker = null;
    if (this.#last === null) this.#first = taker;
    else this.#last.nextTaker = taker;
    this.#last = taker;
    if (isNext) this.#reactor.buffers.wait(this);
    return null;
  }

  buffersAvailable(): void {
    for (let taker = this.#first; taker !== null; taker = this.#first) {
      const buffer = this.#reserve.acquirePiece(taker.bufferBytes);
      if (buffer === null) {
        this.#reactor.buffers.wait(this);
        return;
      }
      this.#first = taker.nextTaker;
      if (this.#first === null) this.#last = null;
      taker.nextTaker = null;
      taker.bufferTaken(buffer);
    }
  }

  close(): void {
    this.#reactor.buffers.stopWaiting(this);
    this.#reserve.close();
  }
}
