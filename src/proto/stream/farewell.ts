/**
 * Farewell: how a connection takes leave of its client.
 *
 *   drained --nothing was under way, or the client has ended--> close
 *      \--say the end, receive and throw away--> the client's end, or an error --> close
 *
 * Closing a socket with bytes unread resets it, and replies on their way to the client are lost. So
 * a connection that has just spoken says its end, and waits for the client's. The drain's time
 * limit ends that, too.
 */

import type { ByteStream } from "../../reactor/byte-stream.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import type { ConnectionReceiver } from "./connection-receiver.ts";

/** Replies sent less than this ago may still be on their way to the client. */
const SPOKE_MS = 200;

/** What it looks at of a `ConnectionSender`. */
interface Sent {
  readonly inFlight: boolean;
  readonly startMs: number;
}

export class Farewell {
  /** The client has ended its direction of the stream, or said that it will send no more. */
  peerEnded = false;
  /** When draining began, replies were on their way, or had just been sent. */
  wasBusy = false;
  readonly #reactor: Reactor;
  readonly #stream: ByteStream;
  readonly #receiver: ConnectionReceiver<unknown>;
  readonly #sender: Sent;
  #saidEnd = false;
  #isOver = false;

  constructor(
    reactor: Reactor,
    stream: ByteStream,
    receiver: ConnectionReceiver<unknown>,
    sender: Sent,
  ) {
    this.#reactor = reactor;
    this.#stream = stream;
    this.#receiver = receiver;
    this.#sender = sender;
  }

  /** Draining begins, with so many commands in flight. */
  begin(inFlight: number): void {
    const { inFlight: isSending, startMs } = this.#sender;
    const isRecent = this.#reactor.clock.nowMs() - startMs < SPOKE_MS;
    this.wasBusy = inFlight > 0 || isSending || isRecent;
  }

  /** A receive has ended with 0 (the end of the stream) or -errno. */
  noteEnd(result: number): void {
    if (this.#saidEnd) this.#isOver = true;
    if (result === 0) this.peerEnded = true;
  }

  /** @returns false when there is nothing to wait for (any more) */
  linger(): boolean {
    if (this.#isOver || this.peerEnded) return false;
    if (!this.wasBusy && this.#receiver.window.unread === 0) return false;
    if (!this.#saidEnd) {
      this.#saidEnd = true;
      this.#stream.end();
    }
    return this.#receiver.discard();
  }
}
