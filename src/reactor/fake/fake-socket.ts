/**
 * FakeSocket: one end of a fake connection. Receives give any non-empty beginning of what has
 * arrived, sends take any non-empty beginning of what fits, as the seed wills.
 *
 *   open --shutDown()--> shut --release()--> released        open | shut --reset--> reset
 *
 * At most one receive and one send are in flight; bytes lie in the two streams between the ends.
 */

import { assert } from "../../util/assert.ts";
import type { Prng } from "../../util/prng.ts";
import { Errno } from "../errno.ts";
import type { FakeOp } from "./fake-op.ts";
import type { FakeStream } from "./fake-stream.ts";

/** Time of a system call and a wake-up, milliseconds. */
const CALL_MS_MAX = 0.01;
/** One in this many transfers is shorter than it could be. */
const SHORT_ONE_IN = 3;

export class FakeSocket {
  /** Name of the host it is on. */
  readonly host: string;
  readonly prng: Prng;
  /** Bytes to and from the peer. */
  readonly incoming: FakeStream;
  readonly outgoing: FakeStream;
  isReset = false;
  /** Nobody holds it any more: what arrives is answered with a reset, if `answersReset`. */
  isReleased = false;
  answersReset = true;
  #isShut = false;
  #noMoreSent = false;
  #receiveOp: FakeOp | null = null;
  #sendOp: FakeOp | null = null;

  constructor(host: string, prng: Prng, incoming: FakeStream, outgoing: FakeStream) {
    this.host = host;
    this.prng = prng;
    this.incoming = incoming;
    this.outgoing = outgoing;
    incoming.receiver = this;
    outgoing.sender = this;
  }

  get isBusy(): boolean {
    return this.#receiveOp !== null || this.#sendOp !== null;
  }

  start(op: FakeOp): void {
    if (op.kind === "receive") {
      assert(this.#receiveOp === null, "one receive is in flight per socket");
      this.#receiveOp = op;
    } else {
      assert(this.#sendOp === null, "one send is in flight per socket");
      this.#sendOp = op;
    }
    if (op.kind === "send" || this.#canReceive()) this.#wake(op);
  }

  /** @returns the result, or null when it waits on */
  step(op: FakeOp): number | null {
    const result = op.kind === "receive" ? this.#receive(op) : this.#send(op);
    const ended = result === null && op.isCancelled ? -Errno.ECANCELED : result;
    if (ended === null) return null;
    if (op.kind === "receive") this.#receiveOp = null;
    else this.#sendOp = null;
    return ended;
  }

  /** Something has arrived, or left, or ended. */
  noteChange(): void {
    if (this.#receiveOp !== null && this.#canReceive()) this.#wake(this.#receiveOp);
    if (this.#sendOp !== null) this.#wake(this.#sendOp);
  }

  /** No more is sent; the peer gets what was sent, then the end. Receives go on. */
  end(): void {
    assert(this.#sendOp === null, "nothing is being sent at the end");
    if (this.#noMoreSent) return;
    this.#noMoreSent = true;
    if (!this.isReset) this.outgoing.finish();
  }

  /** Ends both directions: the peer gets what was sent, then the end. */
  shutDown(): void {
    if (this.#isShut) return;
    this.#isShut = true;
    if (!this.isReset && !this.#noMoreSent) this.outgoing.finish();
    this.#noMoreSent = true;
    this.noteChange();
  }

  /** Gives the socket up; bytes that nobody has read turn the end into a reset, as in Linux. */
  release(): void {
    assert(!this.isBusy, "a socket is closed when nothing is in flight on it");
    this.abandon();
  }

  /** As release, for a process that died: nobody waits for what was in flight. */
  abandon(): void {
    if (this.isReleased) return;
    this.#receiveOp = null;
    this.#sendOp = null;
    this.isReleased = true;
    if (this.isReset) return;
    if (this.incoming.availableBytes > 0) this.outgoing.reset();
    else this.shutDown();
  }

  /** Goes without a word to the peer (its host lost power). */
  vanish(answersReset: boolean): void {
    this.#receiveOp = null;
    this.#sendOp = null;
    this.isReleased = true;
    this.answersReset = answersReset;
  }

  /** A reset has come in. */
  noteReset(): void {
    this.isReset = true;
    this.noteChange();
  }

  #wake(op: FakeOp): void {
    op.wake(CALL_MS_MAX * this.prng.float());
  }

  #canReceive(): boolean {
    const { incoming } = this;
    return this.isReset || this.#isShut || incoming.availableBytes > 0 || incoming.isFinished;
  }

  #receive(op: FakeOp): number | null {
    if (this.isReset) return -Errno.ECONNRESET;
    const available = Math.min(this.incoming.availableBytes, op.length);
    if (available === 0) return this.#isShut || this.incoming.isFinished ? 0 : null;
    const count = this.#someOf(available);
    let done = 0;
    for (let index = 0; done < count; index++) {
      const taken = Math.min(op.vector.lengthAt(index), count - done);
      this.incoming.take(op.vector.slabAt(index).bytes, op.vector.offsetAt(index), taken);
      done += taken;
    }
    return count;
  }

  #send(op: FakeOp): number | null {
    if (this.isReset) return -Errno.ECONNRESET;
    if (this.#noMoreSent) return -Errno.EPIPE;
    const room = Math.min(this.outgoing.roomBytes, op.length);
    if (room === 0) return null;
    const count = this.#someOf(room);
    let done = 0;
    for (let index = 0; done < count; index++) {
      const taken = Math.min(op.vector.lengthAt(index), count - done);
      this.outgoing.put(op.vector.slabAt(index).bytes, op.vector.offsetAt(index), taken);
      done += taken;
    }
    const firstSegment = this.#someOf(count);
    if (firstSegment < count) this.outgoing.push(count - firstSegment);
    this.outgoing.push();
    return count;
  }

  #someOf(count: number): number {
    return this.prng.below(SHORT_ONE_IN) === 0 ? 1 + this.prng.below(count) : count;
  }
}
