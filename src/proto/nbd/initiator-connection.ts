/**
 * InitiatorConnection: one connection to a server, from connected socket to close.
 *
 *   handshake --ready--> transmission --disconnect()--> ending --server's end--> closing --> closed
 *       +--------------------+--error, broken protocol, fail()-----------------^
 *
 * Owns the socket, the receive window, and for its life a bank. In flight: at most one receive and
 * one send. `closed` is said when neither is, so that nobody's memory is in use any more; commands
 * without an answer are then taken back.
 */

import type { BufferWaiter } from "../../reactor/buffer-pool.ts";
import type { ByteStream } from "../../reactor/byte-stream.ts";
import { CallbackOp } from "../../reactor/callback-op.ts";
import type { Timer } from "../../reactor/clock.ts";
import type { Flushable, Reactor, Rester } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import { CommandTable, type InitiatorCommand } from "./initiator-command.ts";
import { InitiatorHandshake } from "./initiator-handshake.ts";
import type { InitiatorRequest, InitiatorSession } from "./initiator-session.ts";
import type { ReceiveWindow } from "../stream/receive-window.ts";
import { ReplyReader } from "./reply-reader.ts";
import type { RequestBank } from "./request-bank.ts";
import { RestControl } from "../stream/rest-control.ts";

/** What a connection needs of the device that opened it. Called in turns; must not throw. */
export interface InitiatorHost {
  readonly reactor: Reactor;
  /** The handshake is over: commands may be submitted. */
  ready(connection: InitiatorConnection, session: InitiatorSession): void;
  /** The command has its answer, and its memory is in nobody's use. Hot path. */
  ended(command: InitiatorCommand): void;
  /** It is about to end: nothing is submitted to it any more. */
  failing(connection: InitiatorConnection): void;
  /** Nothing is in flight any more; `takeCommands` gives what has no answer. Called once. */
  closed(connection: InitiatorConnection): void;
}

export interface InitiatorConnectionParts {
  readonly host: InitiatorHost;
  readonly stream: ByteStream;
  /** The connection takes over its reference. */
  readonly window: ReceiveWindow;
  readonly bank: RequestBank;
  readonly request: InitiatorRequest;
}

const State = { handshake: 0, transmission: 1, ending: 2, closing: 3, closed: 4 } as const;
type State = (typeof State)[keyof typeof State];

/** Why a connection has ended. */
export interface ConnectionEnd {
  /** Another try makes no sense without somebody changing something. */
  readonly isFinal: boolean;
  readonly code: string;
  readonly message: string;
}

/** A server that does not end the connection after DISC is left alone after this. */
const DISCONNECT_MS_MAX = 500;

/** The rest of a read's data is waited for in pieces of at most this, if it is at least that. */
const EXPECT_BYTES_MIN = 16 * 1024;
const EXPECT_BYTES_MAX = 256 * 1024;

/** Data of this length weighs as much as a command. */
const WEIGHT_SHIFT = 16;

const NO_END: ConnectionEnd = { isFinal: false, code: "connection-lost", message: "" };

export class InitiatorConnection implements Flushable, BufferWaiter, Rester {
  isDirty = false;
  /** Commands submitted and not ended, long ones counted several times. */
  load = 0;
  /** Free for the host: the connection's bank, to be used again. */
  readonly bank: RequestBank;
  readonly #host: InitiatorHost;
  readonly #reactor: Reactor;
  readonly #stream: ByteStream;
  readonly #window: ReceiveWindow;
  readonly #receiveOp = new CallbackOp((result) => this.#received(result));
  readonly #sendOp = new CallbackOp((result) => this.#sent(result));
  readonly #table = new CommandTable();
  #handshake: InitiatorHandshake | null;
  #reader: ReplyReader | null = null;
  #state: State = State.handshake;
  #end: ConnectionEnd = NO_END;
  /** Commands that the server does not have yet, oldest first. */
  #queueFirst: InitiatorCommand | null = null;
  #queueLast: InitiatorCommand | null = null;
  /** The receive in flight fills the read's memory, then the window. */
  #isReceivingData = false;
  #isWaiting = false;
  readonly #restControl = new RestControl();
  /** The next receive is put off. */
  #isResting = false;
  /** Commands answered since the last receive. */
  #answered = 0;
  #disconnectSent = false;
  #timer: Timer | null = null;

  constructor(parts: InitiatorConnectionParts) {
    this.#host = parts.host;
    this.#reactor = parts.host.reactor;
    this.#stream = parts.stream;
    this.#window = parts.window;
    this.bank = parts.bank;
    this.#handshake = new InitiatorHandshake(parts.request);
    this.#reactor.io.attach(this.#receiveOp);
    this.#reactor.io.attach(this.#sendOp);
  }

  /** Begins to listen to the server. Called once. */
  start(): void {
    this.#receive();
  }

  /** Why it has ended, or is about to. */
  get end(): ConnectionEnd {
    return this.#end;
  }

  get isUp(): boolean {
    return this.#state === State.transmission;
  }

  /** Sends the command with the others of this turn. Hot path. */
  submit(command: InitiatorCommand): void {
    assert(this.#state === State.transmission, "commands are submitted to a connection that is up");
    this.load += weightOf(command);
    command.next = null;
    if (this.#queueLast === null) this.#queueFirst = command;
    else this.#queueLast.next = command;
    this.#queueLast = command;
    this.#reactor.markDirty(this);
  }

  /** Says goodbye to the server, and closes. Nothing is submitted any more. Idempotent. */
  disconnect(): void {
    if (this.#state === State.handshake) this.fail("given up");
    if (this.#state !== State.transmission) return;
    assert(this.load === 0, "a connection is ended when all of its commands have");
    this.#state = State.ending;
    this.#timer = this.#reactor.clock.startTimer(DISCONNECT_MS_MAX, () => this.fail("no answer"));
    this.#reactor.markDirty(this);
  }

  /** Ends the connection now, as lost. Idempotent. */
  fail(message: string, code = "connection-lost", isFinal = false): void {
    if (this.#state >= State.closing) return;
    this.#state = State.closing;
    this.#end = { isFinal, code, message };
    this.#stream.shutdown();
    this.#reactor.markDirty(this);
    this.#host.failing(this);
  }

  /** Takes the commands without an answer out; only when `closed` was said. */
  takeCommands(): InitiatorCommand | null {
    assert(this.#state === State.closed, "commands are taken back when nothing is in flight");
    let list = this.#queueFirst;
    this.#queueFirst = null;
    this.#queueLast = null;
    for (let each = this.#table.takeAny(); each !== null; each = this.#table.takeAny()) {
      each.next = list;
      list = each;
    }
    return list;
  }

  // hot path
  flush(): void {
    if (this.#state === State.closing) this.#finishIfDone();
    else if (!this.#sendOp.inFlight) this.#send();
  }

  buffersAvailable(): void {
    this.#isWaiting = false;
    if (this.#state < State.closing) this.#receive();
  }

  // hot path
  #send(): void {
    const { bank } = this;
    const output = this.#handshake?.output;
    if (output !== undefined) {
      bank.addBytes(output.written);
      output.clear();
    } else {
      this.#fill();
      if (this.#state === State.ending && !this.#disconnectSent) {
        this.#disconnectSent = true;
        bank.addDisconnect();
      }
    }
    if (!bank.isEmpty) this.#stream.send(this.#sendOp, bank.finish());
  }

  // hot path
  #fill(): void {
    const { bank } = this;
    for (;;) {
      const command = this.#queueFirst;
      if (command === null || this.#table.isFull || !bank.hasRoom) return;
      this.#queueFirst = command.next;
      if (this.#queueFirst === null) this.#queueLast = null;
      command.next = null;
      command.beginAttempt();
      this.#table.add(command);
      bank.add(command);
    }
  }

  // hot path
  #sent(result: number): void {
    const { bank } = this;
    if (result > 0) {
      bank.vector.advance(result);
      if (bank.vector.lengthBytes > 0 && this.#state < State.closing) {
        this.#stream.send(this.#sendOp, bank.vector);
        return;
      }
    }
    this.#releaseBank();
    if (result <= 0) this.fail(`sending failed (errno ${-result})`);
    if (this.#disconnectSent && this.#state === State.ending) this.#stream.end();
    this.#reactor.markDirty(this);
  }

  /** Nothing is being sent: answered commands get their memory back. Hot path. */
  #releaseBank(): void {
    let command = this.bank.payloads;
    this.bank.clear();
    while (command !== null) {
      const { next } = command;
      command.next = null;
      command.isSending = false;
      if (command.isAnswered) this.#endCommand(command);
      command = next;
    }
  }

  // hot path
  answered(command: InitiatorCommand): void {
    this.#answered++;
    if (!command.isSending) this.#endCommand(command);
  }

  // hot path
  #endCommand(command: InitiatorCommand): void {
    this.#table.remove(command);
    this.load -= weightOf(command);
    if (this.#queueFirst !== null) this.#reactor.markDirty(this);
    this.#host.ended(command);
  }

  // hot path
  #received(result: number): void {
    const isData = this.#isReceivingData;
    this.#isReceivingData = false;
    if (this.#state >= State.closing) {
      this.#reactor.markDirty(this);
      return;
    }
    if (result <= 0) {
      const isEnd = result === 0;
      this.fail(isEnd ? "the server has ended it" : `receiving failed (errno ${-result})`);
      return;
    }
    const reader = this.#reader;
    if (reader === null) {
      this.#window.received(result);
      this.#feedHandshake();
      return;
    }
    const ofData = isData ? Math.min(result, reader.dataLeft) : 0;
    if (result > ofData) this.#window.received(result - ofData);
    if (ofData > 0) reader.received(ofData);
    this.#read(reader);
  }

  /** Reads the replies that are there, and waits for the next. Hot path. */
  #read(reader: ReplyReader): void {
    const violation = reader.read();
    if (violation !== null) this.fail(`the server breaks the protocol: ${violation}`, "protocol");
    if (this.#state < State.closing && !this.#rests(reader)) this.#receive();
  }

  /**
   * Puts the next receive off for a moment while the server has many commands to work on: one
   * receive and one send for several of them cost little more than for one. Hot path.
   */
  #rests(reader: ReplyReader): boolean {
    if (this.#reactor.io.canRest !== true || this.#isResting) return this.#isResting;
    const answered = this.#answered;
    this.#answered = 0;
    const restMs = this.#restControl.answered(answered, this.#table.count);
    const isLong = reader.dataLeft >= EXPECT_BYTES_MIN;
    if (restMs === 0 || isLong || this.#receiveOp.socketHasMore) return false;
    this.#isResting = true;
    this.#reactor.rest(this, restMs);
    return true;
  }

  restEnded(): void {
    this.#isResting = false;
    if (this.#state < State.closing) this.#receive();
  }

  #feedHandshake(): void {
    const handshake = this.#handshake;
    const window = this.#window;
    if (handshake === null) return;
    const { slab, offset } = window.buffer;
    window.start += handshake.feed(slab.bytes, offset + window.start, window.unread);
    this.#reactor.markDirty(this);
    const { outcome } = handshake;
    if (outcome.kind === "more") this.#receive();
    else if (outcome.kind === "ready") this.#ready(outcome.session);
    else this.fail(outcome.message, outcome.code, outcome.code !== "server-stopping");
  }

  #ready(session: InitiatorSession): void {
    this.#handshake = null;
    this.bank.setForm(session.extendedHeaders);
    const reader = new ReplyReader({
      slabs: this.#reactor.io.slabs,
      window: this.#window,
      commands: this.#table,
      sink: this,
      form: session,
    });
    this.#reader = reader;
    this.#state = State.transmission;
    this.#host.ready(this, session);
    this.#read(reader);
  }

  /** Starts a receive: of a read's data where it goes, else into the window. Hot path. */
  #receive(): void {
    if (this.#receiveOp.inFlight) return;
    const window = this.#window;
    const reader = this.#reader;
    const segments = reader?.dataSegments ?? null;
    if (reader === null || segments === null) {
      this.#stream.expect(1);
      if (!window.prepare(reader?.neededBytes ?? 1)) {
        this.#waitForMemory();
        return;
      }
      const { slab, offset } = window.buffer;
      this.#stream.receive(this.#receiveOp, slab, offset + window.end, window.room);
      return;
    }
    const { dataLeft } = reader;
    const vector = this.bank.receiveVector;
    vector.clear();
    this.#pushRange(reader, dataLeft);
    if (dataLeft >= EXPECT_BYTES_MIN) window.shrink();
    this.#stream.expect(dataLeft < EXPECT_BYTES_MIN ? 1 : Math.min(dataLeft, EXPECT_BYTES_MAX));
    if (window.prepare(1)) {
      vector.push(window.buffer.slab, window.buffer.offset + window.end, window.room);
    }
    this.#isReceivingData = true;
    this.#reactor.noteBulk();
    this.#stream.receiveVector(this.#receiveOp, vector);
  }

  // hot path
  #pushRange(reader: ReplyReader, length: number): void {
    const { slabs } = this.#reactor.io;
    const segments = reader.dataSegments;
    const vector = this.bank.receiveVector;
    assert(segments !== null, "data under way has its memory");
    let skip = reader.dataAt;
    let left = length;
    for (let index = 0; left > 0; index++) {
      const available = segments.length(index) - skip;
      if (available <= 0) {
        skip = -available;
        continue;
      }
      const taken = Math.min(available, left);
      vector.push(slabs.get(segments.slabId(index)), segments.offset(index) + skip, taken);
      skip = 0;
      left -= taken;
    }
  }

  /** The window cannot move on: at least its own page always can, so this is rare and short. */
  #waitForMemory(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#reactor.buffers.wait(this);
  }

  #finishIfDone(): void {
    if (this.#receiveOp.inFlight || this.#sendOp.inFlight) return;
    this.#state = State.closed;
    this.#timer?.cancel();
    if (this.#isWaiting) this.#reactor.buffers.stopWaiting(this);
    this.#releaseBank();
    this.#window.release();
    this.#reactor.io.detach(this.#receiveOp);
    this.#reactor.io.detach(this.#sendOp);
    this.#stream.close();
    this.#host.closed(this);
  }
}

// hot path
function weightOf(command: InitiatorCommand): number {
  return command.segments === null ? 1 : 1 + (command.length >> WEIGHT_SHIFT);
}
