/**
 * NbdConnection: one client's connection to a target, from accept to close.
 *
 *   handshake --GO, EXPORT_NAME--> transmission --DISC, end of stream, drain()--> draining --+
 *       |     |--export of another reactor--> handing off                                    v
 *       |     \--its host's earlier connections are not gone--> waiting --admitted--> transmission
 *       +--ABORT--> draining          any --error, time-out, broken protocol--> dead --> closed
 *
 * Owns the socket, the receive window and the banks being filled and sent. In flight: at most one
 * receive and one send; it closes when neither is, and every command has ended.
 */

import type { BufferReserve, BufferWaiter } from "../../reactor/buffer-pool.ts";
import type { ByteStream } from "../../reactor/byte-stream.ts";
import type { Timer } from "../../reactor/clock.ts";
import { CallbackOp } from "../../reactor/callback-op.ts";
import type { IoVector } from "../../reactor/io.ts";
import type { Flushable, Reactor, Rester } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import { CommandPool } from "./command-pool.ts";
import { CommandRunner, type RunnerParts, type TransmissionLink } from "./command-runner.ts";
import type { ExportConnection, NbdExport } from "./export.ts";
import type { ExportDirectory } from "./export-description.ts";
import { HandshakeTarget } from "./handshake-target.ts";
import type { HostConnection } from "./host-associations.ts";
import type { NegotiatedSession } from "./negotiation.ts";
import { Payload } from "./payload.ts";
import type { ReceiveVectors } from "./receive-vectors.ts";
import type { ReceiveWindow } from "./receive-window.ts";
import { dropList, ReplyQueue } from "./reply-queue.ts";
import { ReplyWriter } from "./reply-writer.ts";
import { RestControl } from "./rest-control.ts";
import type { SendBank, SendBankPool } from "./send-bank.ts";
import { Transmission, Want } from "./transmission.ts";

/** What connections need of the service that accepted them. */
export interface ConnectionHost {
  readonly reactor: Reactor;
  readonly directory: ExportDirectory;
  readonly banks: SendBankPool;
  readonly reserve: BufferReserve;
  readonly vectors: ReceiveVectors;
  /** A handshake that takes longer is ended. */
  readonly handshakeMsMax: number;
  /** A draining connection whose client does not read its replies is ended after this. */
  readonly drainMsMax: number;
  /** The export of this reactor with this canonical name, or null. */
  findLocal(name: string): NbdExport | null;
  /** Passes the socket to the export's reactor. @returns false: there is none */
  handOff(connection: NbdConnection, session: NegotiatedSession, unread: Uint8Array): boolean;
  /** The connection has let go of everything. */
  connectionClosed(connection: NbdConnection, reason: string): void;
}

const State = {
  handshake: 0,
  waiting: 1,
  handingOff: 2,
  transmission: 3,
  draining: 4,
  dead: 5,
  closed: 6,
} as const;
type State = (typeof State)[keyof typeof State];

/** How often a connection that is to be drained is asked whether it has fallen quiet. */
const QUIET_LOOK_MS = 20;

/** Replies sent less than this ago may still be on their way to the client. */
const SPOKE_MS = 200;

/** The rest of a payload is waited for in pieces of at most this, if it is at least that. */
const EXPECT_BYTES_MIN = 16 * 1024;
const EXPECT_BYTES_MAX = 256 * 1024;

export class NbdConnection
  implements Flushable, BufferWaiter, ExportConnection, HostConnection, Rester, TransmissionLink
{
  isDirty = false;
  readonly stream: ByteStream;
  readonly window: ReceiveWindow;
  readonly peer: string;
  readonly #host: ConnectionHost;
  readonly #reactor: Reactor;
  readonly #receiveOp = new CallbackOp((result) => this.#received(result));
  readonly #sendOp = new CallbackOp((result) => this.#sent(result));
  readonly #payload = new Payload();
  #receiveVector: IoVector | null = null;
  #handshake: HandshakeTarget | null = null;
  #session: NegotiatedSession | null = null;
  #exported: NbdExport | null = null;
  #transmission: Transmission | null = null;
  #runner: CommandRunner | null = null;
  #commands: CommandPool | null = null;
  #replies: ReplyQueue | null = null;
  /** Handshake output on its way; sent before any reply. */
  #handshakeBank: SendBank | null = null;
  #sending: SendBank | null = null;
  /** When the send in flight began, on the reactor's clock; for slow readers and latencies. */
  sendStartMs = 0;
  #state: State = State.handshake;
  #reason = "";
  #timer: Timer | null = null;
  /** Commands are unread because there was no room for them. */
  #stalled = false;
  /** Room may have come back since. */
  #roomFreed = false;
  #waiting = false;
  /** When draining began, replies were on their way, or had just been sent. */
  #wasBusy = false;
  readonly #restControl = new RestControl();
  /** The next receive is put off. */
  #isResting = false;
  #saidEnd = false;
  #lingered = false;
  /** The client has ended its direction of the stream, or said that it will send no more. */
  #peerEnded = false;
  #closed: Promise<void> | null = null;
  #resolveClosed: (() => void) | null = null;
  /** When something was last received, or sent. */
  #progressMs = 0;

  /** Tells the export's associations that it has closed; of our own initiator's only. */
  #leaveHost: (() => void) | null = null;
  #enterAdmitted: (() => void) | null = null;

  /** Takes over the stream and the window. */
  constructor(host: ConnectionHost, stream: ByteStream, window: ReceiveWindow, peer: string) {
    this.#host = host;
    this.#reactor = host.reactor;
    this.stream = stream;
    this.window = window;
    this.peer = peer;
    this.#reactor.io.attach(this.#receiveOp);
    this.#reactor.io.attach(this.#sendOp);
  }

  /** Greets a new client. */
  startHandshake(): void {
    this.#handshake = new HandshakeTarget({ directory: this.#host.directory });
    this.#handshake.greet();
    const { handshakeMsMax } = this.#host;
    this.#timer = this.#reactor.clock.startTimer(handshakeMsMax, () => {
      this.fail(`the handshake took more than ${handshakeMsMax} ms`);
    });
    this.#reactor.markDirty(this);
    this.#receive(1);
  }

  /** Goes on where another reactor's handshake ended; unread bytes are in the window. */
  startTransmission(session: NegotiatedSession, exported: NbdExport): void {
    this.#enterTransmission(session, exported);
    this.#process();
  }

  get canReply(): boolean {
    return this.#state < State.dead;
  }

  get isEnding(): boolean {
    return this.#state >= State.draining;
  }

  /**
   * For how long the client has neither read what is being sent to it nor sent the rest of a
   * payload, in milliseconds; 0 while nothing is due from it.
   */
  stuckMs(nowMs: number): number {
    const isDue = this.#sendOp.inFlight || this.#payload.isUnderWay;
    return isDue ? nowMs - Math.max(this.#progressMs, this.sendStartMs) : 0;
  }

  /** Reads no more, finishes what is in flight, replies, closes. Idempotent. */
  drain(): Promise<void> {
    if (this.#closed !== null) return this.#closed;
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    const reason = "the export is going away";
    if (this.#state <= State.waiting) this.fail(reason);
    else if (this.#stalled && this.#state === State.transmission) this.#drainSoon(reason);
    else this.#drain(reason);
    return this.#closed;
  }

  disconnect(): void {
    // The client sends nothing more, and all of its requests have been read: no need to linger.
    this.#peerEnded = true;
    this.#drain("the client has disconnected");
  }

  /** Ends the connection now. Idempotent. */
  fail(reason: string): void {
    if (this.#state >= State.dead) return;
    this.#state = State.dead;
    this.#reason = reason;
    this.stream.shutdown();
    this.#transmission?.stop();
    this.#runner?.abandon();
    this.#abandonPayload();
    this.#reactor.markDirty(this);
  }

  // hot path
  commandEnded(): void {
    this.#roomFreed = true;
    this.#reactor.markDirty(this);
  }

  awaitMemory(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#reactor.buffers.wait(this);
  }

  buffersAvailable(): void {
    this.#waiting = false;
    this.commandEnded();
  }

  // hot path
  flush(): void {
    if (this.#roomFreed) this.#resume();
    if (!this.#sendOp.inFlight) this.#send();
    if (this.#state >= State.handingOff && this.#state !== State.transmission) this.#finishIfDone();
  }

  #resume(): void {
    this.#roomFreed = false;
    if (this.#state >= State.dead) return;
    this.#runner?.resume();
    if (!this.#stalled) return;
    this.#stalled = false;
    // Until now it was we who kept the client waiting.
    this.#progressMs = this.#reactor.clock.nowMs();
    this.#process();
  }

  // hot path
  #received(result: number): void {
    this.#progressMs = this.#reactor.clock.nowMs();
    if (this.#receiveVector !== null) {
      this.#host.vectors.give(this.#receiveVector);
      this.#receiveVector = null;
    }
    if (this.#state >= State.draining) this.#abandonPayload();
    if (result <= 0) {
      if (this.#saidEnd) this.#lingered = true;
      if (result === 0) this.#peerEnded = true;
      if (result === 0) this.#drain("the client has closed the connection");
      else if (this.#state < State.draining) this.fail(`receiving failed (errno ${-result})`);
      this.#reactor.markDirty(this);
      return;
    }
    if (this.#state >= State.draining) {
      this.#reactor.markDirty(this);
      return;
    }
    const payload = this.#payload;
    let left = result;
    if (payload.isUnderWay) {
      const taken = Math.min(left, payload.wantedBytes - payload.filledBytes);
      payload.filledBytes += taken;
      left -= taken;
    }
    if (left > 0) this.window.received(left);
    this.#process();
  }

  /** Does all that can be done with what has been received. Hot path. */
  #process(): void {
    const transmission = this.#transmission;
    if (transmission === null) {
      if (this.#state === State.handshake) this.#feedHandshake();
      return;
    }
    const before = transmission.commandCount;
    const want = transmission.parse(this.#reactor.clock.nowMs());
    if (this.#state >= State.dead) return;
    if (want === Want.room) this.#waitForRoom();
    else if (this.#state === State.draining) this.#stopReading();
    else if (want === Want.bytes && !this.#rests(transmission.commandCount - before)) {
      this.#receive(transmission.neededBytes);
    }
  }

  /**
   * Puts the next receive off for a moment where the client has many requests on their way: one
   * receive and one send for several of them cost little more than for one. Hot path.
   */
  #rests(commands: number): boolean {
    const { io } = this.#reactor;
    if (io.canRest !== true || this.#isResting) return this.#isResting;
    const restMs = this.#restControl.received(commands);
    if (restMs === 0 || this.#receiveOp.socketHasMore || this.#payload.isUnderWay) return false;
    this.#isResting = true;
    this.#reactor.rest(this, restMs);
    return true;
  }

  restEnded(): void {
    this.#isResting = false;
    if (this.#state === State.transmission && this.#transmission !== null && !this.#stalled) {
      this.#receive(this.#transmission.neededBytes);
    } else {
      this.#reactor.markDirty(this);
    }
  }

  /** Draining: what has been received is all that will be done. */
  #stopReading(): void {
    this.#transmission?.stop();
    this.#abandonPayload();
    this.#reactor.markDirty(this);
  }

  /**
   * The write whose payload will not all come is given up: not before the receive in flight has
   * ended, since until then the kernel may write into its buffer.
   */
  #abandonPayload(): void {
    if (!this.#receiveOp.inFlight) this.#runner?.abandonPayload();
  }

  /** Starts a receive; `neededBytes` from the window's start on must fit in all. Hot path. */
  #receive(neededBytes: number): void {
    if (this.#receiveOp.inFlight || this.#state >= State.draining) return;
    const { window } = this;
    const payload = this.#payload;
    if (!payload.isUnderWay) {
      this.stream.expect(1);
      if (!window.prepare(neededBytes)) {
        if (this.#transmission?.useOwnBuffer() === true) this.#process();
        else this.#waitForRoom();
        return;
      }
      const { slab, offset } = window.buffer;
      this.stream.receive(this.#receiveOp, slab, offset + window.end, window.room);
      return;
    }
    const { buffer } = payload;
    assert(buffer !== null, "a payload under way has its buffer");
    const vector = this.#host.vectors.take();
    this.#receiveVector = vector;
    const at = buffer.offset + payload.offset + payload.filledBytes;
    const missing = payload.wantedBytes - payload.filledBytes;
    this.stream.expect(missing < EXPECT_BYTES_MIN ? 1 : Math.min(missing, EXPECT_BYTES_MAX));
    vector.push(buffer.slab, at, missing);
    if (window.prepare(1)) {
      vector.push(window.buffer.slab, window.buffer.offset + window.end, window.room);
    }
    this.#reactor.noteBulk();
    this.stream.receiveVector(this.#receiveOp, vector);
  }

  #waitForRoom(): void {
    this.#stalled = true;
    this.awaitMemory();
  }

  #feedHandshake(): void {
    const handshake = this.#handshake;
    const { window } = this;
    if (handshake === null) return;
    const { slab, offset } = window.buffer;
    window.start += handshake.feed(slab.bytes, offset + window.start, window.unread);
    this.#reactor.markDirty(this);
    const { outcome } = handshake;
    switch (outcome.kind) {
      case "more":
        this.#receive(1);
        return;
      case "drain":
        // Goes on when the output has been sent.
        return;
      case "transmission":
        this.#negotiated(outcome.session);
        return;
      case "abort":
        this.#drain("the client has aborted the handshake");
        return;
      case "close":
        this.#drain(outcome.message);
        return;
    }
  }

  #negotiated(session: NegotiatedSession): void {
    this.#timer?.cancel();
    this.#timer = null;
    const exported = this.#host.findLocal(session.export.name);
    if (exported === null) {
      this.#session = session;
      this.#state = State.handingOff;
      return;
    }
    this.#enterTransmission(session, exported);
    this.#process();
  }

  /** Goes on at once, or (`admitted`) when its host's earlier connections are gone. */
  #enterTransmission(session: NegotiatedSession, exported: NbdExport): void {
    const { association } = session;
    if (association === undefined) {
      this.#beginTransmission(session, exported);
      return;
    }
    const isAdmitted = exported.associations.admit(this, association);
    if (isAdmitted === null) {
      this.fail("its host has newer connections");
      return;
    }
    this.#leaveHost = () => exported.associations.leave(this, association);
    if (isAdmitted) {
      this.#beginTransmission(session, exported);
      return;
    }
    this.#state = State.waiting;
    this.#enterAdmitted = () => this.#beginTransmission(session, exported);
    // It goes with its export, too.
    this.#join(exported);
  }

  admitted(): void {
    if (this.#state !== State.waiting) return;
    this.#enterAdmitted?.();
    this.#process();
  }

  #join(exported: NbdExport): void {
    if (this.#exported !== null) return;
    this.#exported = exported;
    exported.connections.add(this);
    exported.stats.connections++;
  }

  #beginTransmission(session: NegotiatedSession, exported: NbdExport): void {
    this.#join(exported);
    if (exported.connections.size > exported.maxConnections) {
      this.fail(`export ${session.export.name} has its ${exported.maxConnections} connections`);
      return;
    }
    const { banks, reserve } = this.#host;
    const { buffers, io } = this.#reactor;
    const writer = new ReplyWriter(io, session);
    this.#session = session;
    this.#replies = new ReplyQueue(banks, writer, () => this.#reactor.markDirty(this));
    this.#commands = new CommandPool(
      { commandCompleted: (command) => this.#runner?.commandCompleted(command) },
      buffers,
      reserve,
    );
    const parts: RunnerParts = {
      exported,
      session,
      commands: this.#commands,
      replies: this.#replies,
      reserve,
      payload: this.#payload,
      link: this,
    };
    this.#runner = new CommandRunner(parts);
    this.#transmission = new Transmission(parts, this.#runner);
    this.#state = State.transmission;
  }

  /** Sends the next bank, if there is something to send. Hot path. */
  #send(): void {
    if (this.#state >= State.dead) return;
    const bank = this.#takeHandshakeBank() ?? this.#replies?.takeBank() ?? null;
    if (bank === null) return;
    if (bank.isEmpty) {
      this.#host.banks.give(bank);
      return;
    }
    this.#sending = bank;
    this.sendStartMs = this.#reactor.clock.nowMs();
    this.stream.send(this.#sendOp, bank.vector);
  }

  #takeHandshakeBank(): SendBank | null {
    const output = this.#handshake?.output;
    if (output === undefined || output.lengthBytes === 0) return null;
    const bank = this.#handshakeBank ?? this.#host.banks.take();
    this.#handshakeBank = null;
    const copied = bank.pushBytes(output.written);
    const rest = output.written.slice(copied);
    output.clear();
    output.append(rest);
    return bank;
  }

  // hot path
  #sent(result: number): void {
    const bank = this.#sending;
    assert(bank !== null, "a send has its bank");
    if (result > 0) {
      this.#progressMs = this.#reactor.clock.nowMs();
      bank.vector.advance(result);
      if (bank.vector.lengthBytes > 0 && this.#state < State.dead) {
        this.stream.send(this.#sendOp, bank.vector);
        return;
      }
    }
    this.#sending = null;
    if (result <= 0) this.fail(`sending failed (errno ${-result})`);
    this.#releaseBank(bank);
    if (this.#state < State.dead) {
      this.#replies?.refill();
      if (this.#stalled) this.#roomFreed = true;
      const drained = this.#state === State.handshake && this.#handshake?.outcome.kind === "drain";
      if (drained && this.#handshake?.output.lengthBytes === 0) this.#feedHandshake();
    }
    this.#reactor.markDirty(this);
  }

  // hot path
  #releaseBank(bank: SendBank): void {
    const runner = this.#runner;
    const exported = this.#exported;
    if (runner !== null && exported !== null) {
      const { stats } = exported;
      dropList(bank.commands, (command) => {
        stats.latencyMsSum += this.sendStartMs - command.startMs;
        runner.sent(command);
      });
    }
    this.#host.banks.give(bank);
  }

  /**
   * Commands have arrived that wait for memory, some perhaps still in the kernel: goes on as
   * usual until all are answered, for at most half of the time that draining may take.
   */
  #drainSoon(reason: string): void {
    const { clock } = this.#reactor;
    const untilMs = clock.nowMs() + this.#host.drainMsMax / 2;
    const look = (): void => {
      const isQuiet = this.#commands?.inFlight === 0 && this.window.unread === 0;
      if (isQuiet || clock.nowMs() >= untilMs) this.#drain(reason, this.#host.drainMsMax / 2);
      else this.#timer = clock.startTimer(QUIET_LOOK_MS, look);
    };
    look();
  }

  #drain(reason: string, limitMs = this.#host.drainMsMax): void {
    if (this.#state >= State.draining) return;
    this.#wasBusy = (this.#commands?.inFlight ?? 0) > 0 || this.#spokeLately();
    this.#state = State.draining;
    this.#reason = reason;
    // Commands that wait for room have been received: they are still done.
    if (!this.#stalled) this.#stopReading();
    if (this.#receiveOp.inFlight) this.stream.cancelReceive(this.#receiveOp);
    this.#timer?.cancel();
    this.#timer = this.#reactor.clock.startTimer(limitMs, () => {
      this.fail(`${reason}, and it does not read its replies`);
    });
    this.#reactor.markDirty(this);
  }

  #spokeLately(): boolean {
    if (this.#sendOp.inFlight) return true;
    return this.#reactor.clock.nowMs() - this.sendStartMs < SPOKE_MS;
  }

  #finishIfDone(): void {
    if (this.#state === State.closed) return;
    if (this.#receiveOp.inFlight || this.#sendOp.inFlight) return;
    if (this.#isResting || (this.#stalled && this.#state === State.draining)) return;
    if (this.#commands !== null && this.#commands.inFlight > 0) return;
    const isDead = this.#state === State.dead;
    const unsent =
      this.#replies?.isEmpty === false || (this.#handshake?.output.lengthBytes ?? 0) > 0;
    if (!isDead && unsent) {
      this.#reactor.markDirty(this);
      return;
    }
    if (this.#state === State.handingOff) this.#handOff();
    else if (isDead || !this.#linger()) this.#close(true);
  }

  /**
   * Closing a socket with bytes unread resets it, and replies on their way to the client are lost.
   * So a connection that has just spoken says its end, and waits for the client's.
   * @returns false when there is nothing to wait for (any more)
   */
  #linger(): boolean {
    if (this.#lingered || this.#peerEnded || this.#transmission === null) return false;
    if (!this.#wasBusy && this.window.unread === 0) return false;
    if (!this.#saidEnd) {
      this.#saidEnd = true;
      this.stream.end();
    }
    this.window.start = 0;
    this.window.end = 0;
    if (!this.window.prepare(1)) return false;
    this.stream.expect(1);
    const { slab, offset } = this.window.buffer;
    this.stream.receive(this.#receiveOp, slab, offset, this.window.room);
    return true;
  }

  #handOff(): void {
    const session = this.#session;
    assert(session !== null, "a connection is handed off after its handshake");
    const { slab, offset } = this.window.buffer;
    const unread = slab.bytes.slice(offset + this.window.start, offset + this.window.end);
    const taken = this.#host.handOff(this, session, unread);
    this.#reason = taken ? "handed off" : `export ${session.export.name} is gone`;
    this.#close(!taken);
  }

  #close(closeStream: boolean): void {
    this.#state = State.closed;
    this.#timer?.cancel();
    if (this.#waiting) this.#reactor.buffers.stopWaiting(this);
    const unsent = this.#replies?.takeBank() ?? null;
    if (unsent !== null) this.#host.banks.give(unsent);
    this.window.release();
    this.#reactor.io.detach(this.#receiveOp);
    this.#reactor.io.detach(this.#sendOp);
    if (closeStream) this.stream.close();
    const exported = this.#exported;
    if (exported?.connections.delete(this) === true) exported.stats.connections--;
    this.#leaveHost?.();
    this.#host.connectionClosed(this, this.#reason);
    const resolve = this.#resolveClosed;
    if (resolve !== null) this.#reactor.deliverLater(resolve);
  }
}
