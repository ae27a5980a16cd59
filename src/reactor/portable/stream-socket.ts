/**
 * StreamSocket: a node:net socket behind the Io's receive and send.
 *
 * It owns the socket and what has been read ahead. At most one receive and one send are in flight.
 *
 *   receiving: paused --first receive--> reading --ReceivedBytes full--> paused --taken--> reading
 *   life: open --shutdown--> shut (receives give what is left, then 0; sends -EPIPE)
 *         open|shut --peer's end, error--> the same for receives  --close--> destroyed
 */

import type { Socket } from "node:net";

import { assert } from "../../util/assert.ts";
import { Errno } from "../errno.ts";
import type { IoOp } from "../io.ts";
import type { Slab } from "../slab.ts";
import type { HeapVector } from "../heap-vector.ts";
import { ReceivedBytes } from "./received-bytes.ts";
import type { TurnLoop } from "./turn-loop.ts";

/**
 * Of Node's own buffer in front of ours: it stops reading after one chunk while we are paused.
 * Given to node:net where sockets are made.
 */
export const STREAM_HIGH_WATER_BYTES = 1;

export class StreamSocket {
  readonly #socket: Socket;
  readonly #loop: TurnLoop;
  readonly #received = new ReceivedBytes();
  #receiver: IoOp | null = null;
  #slab: Slab | null = null;
  #vector: HeapVector | null = null;
  #offset = 0;
  #length = 0;
  #sender: IoOp | null = null;
  #sendLength = 0;
  /** Reading has begun: by the first receive. */
  #started = false;
  #paused = true;
  #ended = false;
  #shut = false;
  #noMoreSent = false;
  /** -errno of the socket's failure, or 0. */
  #failure = 0;

  /** @param socket connected, paused, not read from yet, with allowHalfOpen */
  constructor(socket: Socket, loop: TurnLoop) {
    this.#socket = socket;
    this.#loop = loop;
    socket.on("error", (error: NodeJS.ErrnoException) => this.#fail(errnoOf(error)));
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
  }

  // hot path
  receive(op: IoOp, slab: Slab, offset: number, length: number): void {
    assert(length > 0 && offset + length <= slab.lengthBytes, "a range lies within its slab");
    this.#slab = slab;
    this.#offset = offset;
    this.#beginReceive(op, length);
  }

  // hot path
  receiveVector(op: IoOp, vector: HeapVector): void {
    this.#vector = vector;
    this.#beginReceive(op, vector.lengthBytes);
  }

  // hot path
  send(op: IoOp, vector: HeapVector): void {
    assert(this.#sender === null, "one send is in flight per socket");
    this.#loop.ops.begin(op);
    if (this.#shut || this.#noMoreSent || this.#socket.destroyed) {
      this.#loop.finish(op, this.#failure < 0 ? this.#failure : -Errno.EPIPE);
      return;
    }
    const views = vector.views(0);
    this.#sender = op;
    this.#sendLength = 0;
    const socket = this.#socket;
    socket.cork();
    for (let index = 0; index < views.length; index++) {
      const view = views[index] as Uint8Array;
      this.#sendLength += view.length;
      if (index + 1 < views.length) socket.write(view);
      else socket.write(view, this.#sent);
    }
    socket.uncork();
    if (views.length === 0) this.#finishSend(0);
  }

  /** Ends a receive in flight; what arrives later stays for the next one. Sends go on. */
  cancel(op: IoOp): void {
    if (op === this.#receiver) this.#finishReceive(-Errno.ECANCELED);
  }

  /** No more is sent; receives go on. */
  end(): void {
    assert(this.#sender === null, "nothing is being sent at the end");
    this.#noMoreSent = true;
    this.#socket.end();
  }

  shutdown(): void {
    if (this.#shut) return;
    this.#shut = true;
    this.#pause();
    if (this.#receiver !== null) this.#finishReceive(0);
    if (this.#sender === null) {
      this.#socket.end();
      return;
    }
    // Only destroying gets a write back that waits for the peer.
    this.#socket.destroy();
    this.#finishSend(-Errno.EPIPE);
  }

  /** Gives the socket up; nothing is in flight. */
  close(): void {
    assert(this.#receiver === null && this.#sender === null, "nothing is in flight at close");
    this.#shut = true;
    this.#received.clear();
    this.#socket.destroy();
  }

  #beginReceive(op: IoOp, length: number): void {
    assert(this.#receiver === null, "one receive is in flight per socket");
    this.#loop.ops.begin(op);
    this.#receiver = op;
    this.#length = length;
    if (this.#received.lengthBytes > 0) this.#take();
    else if (this.#ended || this.#shut) this.#finishReceive(this.#failure);
    if (!this.#started) this.#start();
    else if (this.#paused && !this.#received.isFull && !this.#shut) this.#resume();
  }

  #start(): void {
    this.#started = true;
    this.#paused = false;
    this.#socket.on("data", this.#arrived);
    this.#socket.resume();
  }

  readonly #arrived = (chunk: Buffer): void => {
    if (this.#socket.destroyed) return;
    this.#received.push(chunk);
    if (this.#receiver !== null && this.#received.lengthBytes > 0) this.#take();
    if (this.#received.isFull) this.#pause();
  };

  /** Gives the receive in flight what is there. */
  #take(): void {
    const slab = this.#slab;
    if (slab !== null) {
      this.#finishReceive(this.#received.take(slab.bytes, this.#offset, this.#length));
      return;
    }
    let taken = 0;
    for (const view of (this.#vector as HeapVector).views(0)) {
      taken += this.#received.take(view, 0, view.length);
      if (this.#received.lengthBytes === 0) break;
    }
    this.#finishReceive(taken);
  }

  readonly #sent = (error?: NodeJS.ErrnoException | null): void => {
    if (this.#sender === null) return;
    if (error !== undefined && error !== null) this.#finishSend(errnoOf(error));
    else if (this.#failure < 0) this.#finishSend(this.#failure);
    // Node reports success for a write that the socket's destruction has cut off.
    else if (this.#socket.destroyed) this.#finishSend(-Errno.EPIPE);
    else this.#finishSend(this.#sendLength);
  };

  #finishReceive(result: number): void {
    const op = this.#receiver as IoOp;
    this.#receiver = null;
    this.#slab = null;
    this.#vector = null;
    this.#loop.finish(op, result);
  }

  #finishSend(result: number): void {
    const op = this.#sender as IoOp;
    this.#sender = null;
    this.#loop.finish(op, result);
  }

  /** No more bytes will come. */
  #end(): void {
    this.#ended = true;
    if (this.#receiver !== null) this.#finishReceive(this.#failure);
  }

  #fail(errno: number): void {
    // A failed write tells of a connection that is gone; a receive says so in its own word.
    this.#failure = errno === -Errno.EPIPE ? -Errno.ECONNRESET : errno;
    this.#end();
    if (this.#sender !== null) this.#finishSend(errno);
  }

  #pause(): void {
    if (!this.#started || this.#paused) return;
    this.#paused = true;
    this.#socket.pause();
  }

  #resume(): void {
    this.#paused = false;
    this.#socket.resume();
  }
}

/** -errno of an error of node:net; those without one come from a stream that is gone. */
function errnoOf(error: NodeJS.ErrnoException): number {
  return typeof error.errno === "number" ? -Math.abs(error.errno) : -Errno.EPIPE;
}
