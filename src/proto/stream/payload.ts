/**
 * Payload: a write's data on its way into a buffer of its own, received there directly.
 *
 * One per connection, used again and again; at most one payload is under way.
 */

import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import type { ReceiveWindow } from "./receive-window.ts";

export class Payload<C> {
  /** The write, or the part of a long one, that the bytes are for; null: none under way. */
  command: C | null = null;
  buffer: PoolBuffer | null = null;
  /** Where in the buffer the first byte goes. */
  offset = 0;
  wantedBytes = 0;
  filledBytes = 0;

  /** Starts a payload with what of it has already arrived in `window`. */
  begin(
    window: ReceiveWindow,
    into: { command: C; buffer: PoolBuffer; offset: number; wantedBytes: number },
  ): void {
    assert(this.command === null, "one payload is under way at a time");
    this.command = into.command;
    this.buffer = into.buffer;
    this.offset = into.offset;
    this.wantedBytes = into.wantedBytes;
    this.filledBytes = Math.min(window.unread, into.wantedBytes);
    if (this.filledBytes === 0) return;
    const { slab, offset } = window.buffer;
    const from = offset + window.start;
    const arrived = slab.bytes.subarray(from, from + this.filledBytes);
    into.buffer.slab.bytes.set(arrived, into.buffer.offset + into.offset);
    window.start += this.filledBytes;
  }

  get isUnderWay(): boolean {
    return this.command !== null;
  }

  get isComplete(): boolean {
    return this.filledBytes === this.wantedBytes;
  }

  /** Ends it; returns the command that its bytes were for. */
  end(): C {
    const command = this.command;
    assert(command !== null, "a payload under way has its command");
    this.command = null;
    this.buffer = null;
    return command;
  }
}
