/**
 * ConnectionSender: sends a connection's banks, one at a time, each to its end.
 *
 * Owns the one send in flight and its bank, whose memory belongs to the kernel until the owner gets
 * it back.
 */

import type { ByteStream } from "../../reactor/byte-stream.ts";
import { IoOp } from "../../reactor/io.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import type { Replied, SendBank } from "./send-bank.ts";

export interface SenderOwner<C extends Replied<C>> {
  /** False: nothing more is sent. */
  readonly canReply: boolean;
  /** The bank has left, or (`errno` is not 0) the rest of it never will. The owner's again. */
  bankSent(bank: SendBank<C>, errno: number): void;
}

export class ConnectionSender<C extends Replied<C>> extends IoOp {
  /** When the last bank began to be sent, on the reactor's clock; for latencies. */
  startMs = 0;
  /** When something of it last left. */
  progressMs = 0;
  readonly #owner: SenderOwner<C>;
  readonly #reactor: Reactor;
  readonly #stream: ByteStream;
  #bank: SendBank<C> | null = null;

  constructor(owner: SenderOwner<C>, reactor: Reactor, stream: ByteStream) {
    super();
    this.#owner = owner;
    this.#reactor = reactor;
    this.#stream = stream;
    reactor.io.attach(this);
  }

  /** Nothing is in flight, and the bank is not empty. Hot path. */
  send(bank: SendBank<C>): void {
    this.#bank = bank;
    this.startMs = this.#reactor.clock.nowMs();
    this.progressMs = this.startMs;
    this.#stream.send(this, bank.vector);
  }

  /** Nothing is in flight. */
  close(): void {
    this.#reactor.io.detach(this);
  }

  // hot path
  override complete(result: number): void {
    const bank = this.#bank;
    assert(bank !== null, "a send has its bank");
    if (result > 0) {
      this.progressMs = this.#reactor.clock.nowMs();
      bank.vector.advance(result);
      if (bank.vector.lengthBytes > 0 && this.#owner.canReply) {
        this.#stream.send(this, bank.vector);
        return;
      }
    }
    this.#bank = null;
    this.#owner.bankSent(bank, result > 0 ? 0 : -result);
  }
}
