/**
 * ByteStream: the slot between a socket and a protocol's codec.
 *
 * A protocol's connection receives and sends through it and nothing else, so that a stage that
 * changes bytes on the way (TLS, later) takes the plain one's place without the codec noticing.
 * Results are those of `Io.receive` and `Io.send`, in plain bytes.
 */

import type { Io, IoOp, IoVector, SocketHandle } from "./io.ts";
import type { Slab } from "./slab.ts";

export interface ByteStream {
  /** Hot path. */
  receive(op: IoOp, slab: Slab, offset: number, length: number): void;
  /** Hot path. */
  receiveVector(op: IoOp, vector: IoVector): void;
  /** See `Io.expectBytes`. */
  expect(lengthBytes: number): void;
  /** One at a time. Hot path. */
  send(op: IoOp, vector: IoVector): void;
  /** Asks to end the receive in flight. */
  cancelReceive(op: IoOp): void;
  /** No more is sent; receives go on. Nothing is being sent. */
  end(): void;
  /** Ends both directions; what is in flight completes soon. */
  shutdown(): void;
  /** The socket is another reactor's now; nothing is in flight. */
  release(): void;
  /** Gives the socket up; nothing is in flight. */
  close(): void;
}

/** The bytes as they are. */
export class PlainStream implements ByteStream {
  readonly socket: SocketHandle;
  readonly #io: Io;
  #expected = 1;

  constructor(io: Io, socket: SocketHandle) {
    this.#io = io;
    this.socket = socket;
  }

  receive(op: IoOp, slab: Slab, offset: number, length: number): void {
    this.#io.receive(op, this.socket, slab, offset, length);
  }

  expect(lengthBytes: number): void {
    if (lengthBytes === this.#expected) return;
    this.#expected = lengthBytes;
    this.#io.expectBytes?.(this.socket, lengthBytes);
  }

  receiveVector(op: IoOp, vector: IoVector): void {
    this.#io.receiveVector(op, this.socket, vector);
  }

  send(op: IoOp, vector: IoVector): void {
    this.#io.send(op, this.socket, vector);
  }

  cancelReceive(op: IoOp): void {
    this.#io.cancel(op);
  }

  end(): void {
    this.#io.endSocket(this.socket);
  }

  shutdown(): void {
    this.#io.shutdownSocket(this.socket);
  }

  release(): void {
    this.#io.releaseSocket?.(this.socket);
  }

  close(): void {
    this.#io.closeSocket(this.socket);
  }
}
