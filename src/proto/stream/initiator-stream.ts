/**
 * InitiatorStream: what every initiator does with its connection to a server, whatever it speaks:
 * one receive and one send in flight, banks of commands, answers' data received where it goes.
 *
 *   opening --isReady--> up --disconnect()--> ending --server's end--> closing --> closed
 *      +-----------------+--error, broken protocol, fail()------------^
 *
 * Owns the socket, the receive window, and for its life a bank. `closed` is said when nothing is in
 * flight, so that nobody's memory is in use any more.
 */

import type { SegmentList } from "../../block/segments.ts";
import type { BufferWaiter } from "../../reactor/buffer-pool.ts";
import type { ByteStream } from "../../reactor/byte-stream.ts";
import { CallbackOp } from "../../reactor/callback-op.ts";
import type { Timer } from "../../reactor/clock.ts";
import type { Flushable, Reactor, Rester } from "../../reactor/reactor.ts";
import type { InitiatorBank, Sendable } from "./initiator-bank.ts";
import { pushRanges } from "./push-ranges.ts";
import type { ReceiveWindow } from "./receive-window.ts";
import { RestControl } from "./rest-control.ts";

/** Why a connection has ended. */
export interface ConnectionEnd {
  /** Another try makes no sense without somebody changing something. */
  readonly isFinal: boolean;
  readonly code: string;
  readonly message: string;
}

/** Makes answers of the bytes in the window. */
export interface AnswerReader {
  /** Bytes of data that are to come next; `dataSegments` from `dataAt` on are where they go. */
  readonly dataLeft: number;
  readonly dataAt: number;
  /** Null: what comes next belongs into the window. */
  readonly dataSegments: SegmentList | null;
  /** The longest stretch of bytes that must be in the window as a whole. */
  readonly neededBytes: number;
  /** `length` bytes of data have been received where they go. */
  received(length: number): void;
  /** Reads all that is there. @returns null, or how the server broke the protocol */
  read(): string | null;
}

export const StreamState = { opening: 0, up: 1, ending: 2, closing: 3, closed: 4 } as const;
export type StreamState = (typeof StreamState)[keyof typeof StreamState];

export interface InitiatorStreamParts<C extends Sendable<C>, B extends InitiatorBank<C>> {
  readonly reactor: Reactor;
  readonly stream: ByteStream;
  /** The connection takes over its reference. */
  readonly window: ReceiveWindow;
  readonly bank: B;
}

/** A server that does not end the connection after a goodbye is left alone after this. */
const DISCONNECT_MS_MAX = 500;

/** The rest of a read's data is waited for in pieces of at most this, if it is at least that. */
const EXPECT_BYTES_MIN = 16 * 1024;
const EXPECT_BYTES_MAX = 256 * 1024;

const NO_END: ConnectionEnd = { isFinal: false, code: "connection-lost", message: "" };

export abstract class InitiatorStream<C extends Sendable<C>, B extends InitiatorBank<C>>
  implements Flushable, BufferWaiter, Rester
{
  isDirty = false;
  /** The connection ended at the other side, not by `fail`. */
  endedByPeer = false;
  /** Free for the host: the connection's bank, to be used again. */
  readonly bank: B;
  protected readonly reactor: Reactor;
  protected readonly window: ReceiveWindow;
  protected state: StreamState = StreamState.opening;
  /** Commands answered since the last receive; counted by the subclass. */
  protected answeredCount = 0;
  /** What reads answers; null while the handshake's bytes are no answers. */
  protected reader: AnswerReader | null = null;
  readonly #stream: ByteStream;
  readonly #receiveOp = new CallbackOp((result) => this.#received(result));
  readonly #sendOp = new CallbackOp((result) => this.#sent(result));
  #end: ConnectionEnd = NO_END;
  /** The receive in flight fills the read's memory, then the window. */
  #isReceivingData = false;
  #isWaiting = false;
  readonly #restControl = new RestControl();
  /** The next receive is put off. */
  #isResting = false;
  #hasSaidGoodbye = false;
  /** The server has broken the protocol: it hears so, and no more is received. */
  #isBroken = false;
  #timer: Timer | null = null;

  constructor(parts: InitiatorStreamParts<C, B>) {
    this.reactor = parts.reactor;
    this.#stream = parts.stream;
    this.window = parts.window;
    this.bank = parts.bank;
    this.reactor.io.attach(this.#receiveOp);
    this.reactor.io.attach(this.#sendOp);
  }

  /** Adds what is to be sent to the bank. Hot path. */
  protected abstract fill(): void;
  /** The server has these commands and has not answered them. Hot path. */
  protected abstract get outstanding(): number;
  /** The data of `command` has left, or never will. Hot path. */
  protected abstract payloadSent(command: C): void;
  /** It is about to end: nothing is submitted to it any more. */
  protected abstract failing(): void;
  /** Nothing is in flight any more. Called once. */
  protected abstract closed(): void;

  /** The reader has found what is against the protocol. */
  protected violated(text: string): void {
    this.fail(`the server breaks the protocol: ${text}`, "protocol");
  }

  /** Bytes have come while there is no reader. */
  protected handshakeBytes(): void {
    // Only where the handshake is something else than answers.
  }

  /** The last bytes of the connection; may be none. */
  protected addGoodbye(): void {
    // Most protocols have none.
  }

  /** Begins to listen to the server. Called once. */
  start(): void {
    this.receive();
  }

  /** Why it has ended, or is about to. */
  get end(): ConnectionEnd {
    return this.#end;
  }

  get isUp(): boolean {
    return this.state === StreamState.up;
  }

  /** Says goodbye to the server, and closes. No command is under way. Idempotent. */
  disconnect(): void {
    if (this.state === StreamState.opening) this.fail("given up");
    if (this.state !== StreamState.up) return;
    this.state = StreamState.ending;
    this.#timer = this.reactor.clock.startTimer(DISCONNECT_MS_MAX, () => this.fail("no answer"));
    this.reactor.markDirty(this);
  }

  /** Ends the connection now, as lost. Idempotent. */
  fail(message: string, code = "connection-lost", isFinal = false): void {
    if (this.state >= StreamState.closing) return;
    this.state = StreamState.closing;
    this.#stream.shutdown();
    this.reactor.markDirty(this);
    if (this.#isBroken) return;
    this.#end = { isFinal, code, message };
    this.failing();
  }

  /** As `fail`, but `addGoodbye` is sent first. Nothing is received any more. */
  protected failAfterGoodbye(message: string, code: string): void {
    if (this.state >= StreamState.closing || this.#isBroken) return;
    this.#isBroken = true;
    this.state = StreamState.ending;
    this.#end = { isFinal: false, code, message };
    this.#timer?.cancel();
    this.#timer = this.reactor.clock.startTimer(DISCONNECT_MS_MAX, () => this.fail(message, code));
    this.reactor.markDirty(this);
    this.failing();
  }

  // hot path
  flush(): void {
    if (this.state === StreamState.closing) this.#finishIfDone();
    else if (!this.#sendOp.inFlight) this.#send();
  }

  buffersAvailable(): void {
    this.#isWaiting = false;
    if (this.state < StreamState.closing && !this.#isBroken) this.receive();
  }

  restEnded(): void {
    this.#isResting = false;
    if (this.state < StreamState.closing && !this.#isBroken) this.receive();
  }

  /** Reads the answers that are there, and waits for the next. Hot path. */
  protected read(reader: AnswerReader): void {
    const violation = reader.read();
    if (violation !== null) this.violated(violation);
    if (this.state < StreamState.closing && !this.#isBroken && !this.#rests(reader)) this.receive();
  }

  /** Starts a receive: of a read's data where it goes, else into the window. Hot path. */
  protected receive(): void {
    if (this.#receiveOp.inFlight) return;
    const { window, reader } = this;
    const segments = reader === null ? null : reader.dataSegments;
    if (reader !== null && segments !== null) {
      this.#receiveData(reader, segments);
      return;
    }
    this.#stream.expect(1);
    if (!window.prepare(reader === null ? 1 : reader.neededBytes)) {
      this.#waitForMemory();
      return;
    }
    const { slab, offset } = window.buffer;
    this.#stream.receive(this.#receiveOp, slab, offset + window.end, window.room);
  }

  // hot path
  #receiveData(reader: AnswerReader, segments: SegmentList): void {
    const { window } = this;
    const { dataLeft } = reader;
    const vector = this.bank.receiveVector;
    vector.clear();
    pushRanges(this.reactor.io, vector, segments, reader.dataAt, dataLeft);
    if (dataLeft >= EXPECT_BYTES_MIN) window.shrink();
    this.#stream.expect(dataLeft < EXPECT_BYTES_MIN ? 1 : Math.min(dataLeft, EXPECT_BYTES_MAX));
    if (window.prepare(1)) {
      vector.push(window.buffer.slab, window.buffer.offset + window.end, window.room);
    }
    this.#isReceivingData = true;
    this.reactor.noteBulk();
    this.#stream.receiveVector(this.#receiveOp, vector);
  }

  // hot path
  #send(): void {
    const { bank } = this;
    this.fill();
    const isGoodbye = this.state === StreamState.ending && !this.#hasSaidGoodbye;
    if (isGoodbye) {
      this.#hasSaidGoodbye = true;
      this.addGoodbye();
    }
    if (!bank.isEmpty) this.#stream.send(this.#sendOp, bank.finish());
    else if (isGoodbye) this.#goodbyeSent();
  }

  #goodbyeSent(): void {
    if (this.#isBroken) this.fail("broken");
    else this.#stream.end();
  }

  // hot path
  #sent(result: number): void {
    const { bank } = this;
    if (result > 0) {
      bank.vector.advance(result);
      if (bank.vector.lengthBytes > 0 && this.state < StreamState.closing) {
        this.#stream.send(this.#sendOp, bank.vector);
        return;
      }
    }
    this.#releaseBank();
    if (result <= 0 && this.state < StreamState.closing) this.endedByPeer = true;
    if (result <= 0) this.fail(`sending failed (errno ${-result})`);
    if (this.#hasSaidGoodbye && this.state === StreamState.ending) this.#goodbyeSent();
    this.reactor.markDirty(this);
  }

  /** Nothing is being sent: commands get their memory back. Hot path. */
  #releaseBank(): void {
    let command = this.bank.payloads;
    this.bank.clear();
    while (command !== null) {
      const next: C | null = command.next;
      command.next = null;
      command.isSending = false;
      this.payloadSent(command);
      command = next;
    }
  }

  // hot path
  #received(result: number): void {
    const isData = this.#isReceivingData;
    this.#isReceivingData = false;
    if (this.state >= StreamState.closing) {
      this.reactor.markDirty(this);
      return;
    }
    if (result <= 0) {
      this.endedByPeer = true;
      const isEnd = result === 0;
      this.fail(isEnd ? "the server has ended it" : `receiving failed (errno ${-result})`);
      return;
    }
    const { reader } = this;
    if (reader === null) {
      this.window.received(result);
      this.handshakeBytes();
      return;
    }
    const ofData = isData ? Math.min(result, reader.dataLeft) : 0;
    if (result > ofData) this.window.received(result - ofData);
    if (ofData > 0) reader.received(ofData);
    this.read(reader);
  }

  /**
   * Puts the next receive off for a moment while the server has many commands to work on: one
   * receive and one send for several of them cost little more than for one. Hot path.
   */
  #rests(reader: AnswerReader): boolean {
    if (this.reactor.io.canRest !== true || this.#isResting) return this.#isResting;
    const answered = this.answeredCount;
    this.answeredCount = 0;
    const restMs = this.#restControl.answered(answered, this.outstanding);
    const isLong = reader.dataLeft >= EXPECT_BYTES_MIN;
    if (restMs === 0 || isLong || this.#receiveOp.socketHasMore) return false;
    this.#isResting = true;
    this.reactor.rest(this, restMs);
    return true;
  }

  /** The window cannot move on: at least its own page always can, so this is rare and short. */
  #waitForMemory(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.reactor.buffers.wait(this);
  }

  #finishIfDone(): void {
    if (this.#receiveOp.inFlight || this.#sendOp.inFlight) return;
    this.state = StreamState.closed;
    this.#timer?.cancel();
    if (this.#isWaiting) this.reactor.buffers.stopWaiting(this);
    this.#releaseBank();
    this.window.release();
    this.reactor.io.detach(this.#receiveOp);
    this.reactor.io.detach(this.#sendOp);
    this.#stream.close();
    this.closed();
  }
}
