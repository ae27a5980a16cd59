/**
 * FakeStream: one direction of a fake connection: bytes in a ring between a sender's socket
 * buffer and a receiver's. Segments travel with a delay and in order; while the direction is
 * blocked they wait, and the sender's room runs out, as when nothing is acknowledged.
 *
 * Positions count bytes since the beginning: taken <= arrived <= sent <= taken + capacity.
 */

import { assert } from "../../util/assert.ts";
import { FakeEvent } from "./event-queue.ts";
import type { FakeSocket } from "./fake-socket.ts";

/** What a stream needs of the network it is part of. */
export interface StreamCarrier {
  /** How long the next segment travels, milliseconds. */
  latencyMs(): number;
  isCut(fromHost: string, toHost: string): boolean;
  scheduleAt(event: FakeEvent, timeMs: number): void;
  readonly nowMs: number;
}

type SegmentKind = "data" | "finish" | "reset";

export class FakeStream {
  /** Both ends; set while the connection is made. */
  sender!: FakeSocket; // set by the FakeSocket that sends on it
  receiver!: FakeSocket; // set by the FakeSocket that receives from it
  /** The receiver has everything and the end. */
  isFinished = false;
  readonly #carrier: StreamCarrier;
  readonly #ring: Uint8Array;
  #sent = 0;
  #arrived = 0;
  #taken = 0;
  #isPaused = false;
  #lastArrivalMs = 0;
  #held: SegmentEvent[] = [];

  constructor(carrier: StreamCarrier, capacityBytes: number) {
    this.#carrier = carrier;
    this.#ring = new Uint8Array(capacityBytes);
  }

  /** Bytes that the receiver can take now. */
  get availableBytes(): number {
    return this.#arrived - this.#taken;
  }

  /** Bytes that the sender can put now. */
  get roomBytes(): number {
    return this.#ring.length - (this.#sent - this.#taken);
  }

  /** Copies bytes in; `push` sends them off. */
  put(source: Uint8Array, start: number, length: number): void {
    assert(length <= this.roomBytes, "bytes are put where there is room");
    const at = this.#sent % this.#ring.length;
    const first = Math.min(length, this.#ring.length - at);
    this.#ring.set(source.subarray(start, start + first), at);
    if (first < length) this.#ring.set(source.subarray(start + first, start + length), 0);
    this.#sent += length;
  }

  /** Sends off what was put, but for the last `heldBackBytes`: a later push takes them. */
  push(heldBackBytes = 0): void {
    this.#send("data", heldBackBytes);
  }

  take(target: Uint8Array, start: number, length: number): void {
    assert(length <= this.availableBytes, "bytes are taken that have arrived");
    const at = this.#taken % this.#ring.length;
    const first = Math.min(length, this.#ring.length - at);
    target.set(this.#ring.subarray(at, at + first), start);
    if (first < length) target.set(this.#ring.subarray(0, length - first), start + first);
    this.#taken += length;
    this.sender.noteChange();
  }

  /** The end, behind all bytes. */
  finish(): void {
    this.#send("finish");
  }

  /** A reset: what has not been read is gone. */
  reset(): void {
    this.#send("reset");
  }

  /** Nothing arrives any more until `resume`. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.release();
  }

  /** Lets held segments go on, where nothing blocks them any more. */
  release(): void {
    if (this.#isBlocked) return;
    const held = this.#held;
    this.#held = [];
    for (const segment of held) this.#schedule(segment);
  }

  arrive(segment: SegmentEvent): void {
    if (this.#isBlocked || this.#held.length > 0) {
      this.#held.push(segment);
      return;
    }
    const { receiver, sender } = this;
    if (receiver.isReset) return;
    if (segment.kind === "reset") {
      receiver.noteReset();
      return;
    }
    if (receiver.isReleased) {
      if (receiver.answersReset && segment.kind === "data") sender.incoming.reset();
      return;
    }
    // A segment that was held may come behind a later one: the bytes between are there as well.
    this.#arrived = Math.max(this.#arrived, segment.end);
    if (segment.kind === "finish") this.isFinished = true;
    receiver.noteChange();
  }

  get #isBlocked(): boolean {
    return this.#isPaused || this.#carrier.isCut(this.sender.host, this.receiver.host);
  }

  #send(kind: SegmentKind, heldBackBytes = 0): void {
    this.#schedule(new SegmentEvent(this, kind, this.#sent - heldBackBytes));
  }

  #schedule(segment: SegmentEvent): void {
    const carrier = this.#carrier;
    // Later segments never overtake earlier ones: ties keep the order of sending.
    const arrivalMs = Math.max(carrier.nowMs + carrier.latencyMs(), this.#lastArrivalMs);
    this.#lastArrivalMs = arrivalMs;
    carrier.scheduleAt(segment, arrivalMs);
  }
}

export class SegmentEvent extends FakeEvent {
  readonly kind: SegmentKind;
  /** Bytes sent up to its end. */
  readonly end: number;
  readonly #stream: FakeStream;

  constructor(stream: FakeStream, kind: SegmentKind, end: number) {
    super();
    this.#stream = stream;
    this.kind = kind;
    this.end = end;
  }

  override fire(): void {
    this.#stream.arrive(this);
  }

  override describe(): string {
    const { sender, receiver } = this.#stream;
    return `net ${sender.host}>${receiver.host} ${this.kind} ${this.end}`;
  }
}
