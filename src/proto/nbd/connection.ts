/**
 * NbdConnection: one client's connection to a target, from accept to close.
 *
 *   handshake --GO, EXPORT_NAME--> transmission --DISC, end of stream, drain()--> draining --+
 *       |     |--export of another reactor--> handing off                                    v
 *       |     \--its host's earlier connections are not gone--> waiting --admitted--> transmission
 *       +--ABORT--> draining          any --error, time-out, broken protocol--> dead --> closed
 *
 * Owns the socket and its state; reads through ConnectionReceiver, writes through ConnectionSender.
 * In flight: at most one receive and one send; it closes when neither is, and every command has
 * ended.
 */

import type { NbdCommand } from "./command.ts";
import type { BufferWaiter } from "../../reactor/buffer-pool.ts";
import type { ByteStream } from "../../reactor/byte-stream.ts";
import type { Timer } from "../../reactor/clock.ts";
import type { Flushable, Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import { CommandPool } from "./command-pool.ts";
import { CommandRunner, type RunnerParts, type TransmissionLink } from "./command-runner.ts";
import type { ConnectionHost } from "./connection-host.ts";
import { ConnectionReceiver, type ReceiverOwner } from "../stream/connection-receiver.ts";
import { ConnectionSender, type SenderOwner } from "../stream/connection-sender.ts";
import type { ExportConnection, NbdExport } from "./export.ts";
import { Entry, ExportEntry } from "./export-entry.ts";
import { Farewell } from "../stream/farewell.ts";
import { bankOfOutput } from "./handshake-bank.ts";
import { HandshakeTarget } from "./handshake-target.ts";
import type { HostConnection } from "./host-associations.ts";
import type { NegotiatedSession } from "./negotiation.ts";
import { ReceiveRest, type RestOwner } from "../stream/receive-rest.ts";
import type { ReceiveWindow } from "../stream/receive-window.ts";
import { dropList, ReplyQueue } from "./reply-queue.ts";
import { ReplyWriter } from "./reply-writer.ts";
import type { SendBank } from "../stream/send-bank.ts";
import { Transmission, Want } from "./transmission.ts";

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

export class NbdConnection
  implements
    Flushable,
    BufferWaiter,
    ExportConnection,
    HostConnection,
    ReceiverOwner,
    RestOwner,
    SenderOwner<NbdCommand>,
    TransmissionLink
{
  isDirty = false;
  readonly stream: ByteStream;
  readonly window: ReceiveWindow;
  readonly peer: string;
  readonly #host: ConnectionHost;
  readonly #reactor: Reactor;
  readonly #receiver: ConnectionReceiver<NbdCommand>;
  readonly #sender: ConnectionSender<NbdCommand>;
  readonly #farewell: Farewell;
  #handshake: HandshakeTarget | null = null;
  #session: NegotiatedSession | null = null;
  #entry: ExportEntry | null = null;
  #transmission: Transmission | null = null;
  #runner: CommandRunner | null = null;
  #commands: CommandPool | null = null;
  #replies: ReplyQueue | null = null;
  #state: State = State.handshake;
  #reason = "";
  #timer: Timer | null = null;
  /** Commands are unread because there was no room for them. */
  #stalled = false;
  /** Room may have come back since. */
  #roomFreed = false;
  #waiting = false;
  readonly #rest: ReceiveRest;
  #closed: Promise<void> | null = null;
  #resolveClosed: (() => void) | null = null;

  /** Takes over the stream and the window. */
  constructor(host: ConnectionHost, stream: ByteStream, window: ReceiveWindow, peer: string) {
    this.#host = host;
    this.#reactor = host.reactor;
    this.stream = stream;
    this.window = window;
    this.peer = peer;
    const { reactor, vectors } = host;
    this.#receiver = new ConnectionReceiver({ owner: this, reactor, stream, window, vectors });
    this.#sender = new ConnectionSender(this, reactor, stream);
    this.#farewell = new Farewell(reactor, stream, this.#receiver, this.#sender);
    this.#rest = new ReceiveRest(this, reactor, this.#receiver);
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
    const isDue = this.#sender.inFlight || this.#receiver.payload.isUnderWay;
    return isDue ? nowMs - Math.max(this.#receiver.progressMs, this.#sender.progressMs) : 0;
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
    this.#farewell.peerEnded = true;
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
    if (!this.#sender.inFlight) this.#send();
    if (this.#state >= State.handingOff && this.#state !== State.transmission) this.#finishIfDone();
  }

  #resume(): void {
    this.#roomFreed = false;
    if (this.#state >= State.dead) return;
    this.#runner?.resume();
    if (!this.#stalled) return;
    this.#stalled = false;
    // Until now it was we who kept the client waiting.
    this.#receiver.noteProgress();
    this.#process();
  }

  // hot path
  received(result: number): void {
    if (this.#state >= State.draining) this.#abandonPayload();
    if (result <= 0) {
      this.#farewell.noteEnd(result);
      if (result === 0) this.#drain("the client has closed the connection");
      else if (this.#state < State.draining) this.fail(`receiving failed (errno ${-result})`);
      this.#reactor.markDirty(this);
      return;
    }
    if (this.#state >= State.draining) {
      this.#reactor.markDirty(this);
      return;
    }
    this.#receiver.take(result);
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
    else if (want === Want.bytes && !this.#rest.begins(transmission.commandCount - before)) {
      this.#receive(transmission.neededBytes);
    }
  }

  rested(): void {
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
    if (!this.#receiver.inFlight) this.#runner?.abandonPayload();
  }

  /** Starts a receive; `neededBytes` from the window's start on must fit in all. Hot path. */
  #receive(neededBytes: number): void {
    if (this.#receiver.inFlight || this.#state >= State.draining) return;
    if (this.#receiver.receive(neededBytes)) return;
    if (this.#transmission?.useOwnBuffer() === true) this.#process();
    else this.#waitForRoom();
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

  #enterTransmission(session: NegotiatedSession, exported: NbdExport): void {
    this.#entry = new ExportEntry(this, session, exported);
    this.#enter(this.#entry);
  }

  /** Goes on at once, or (`admitted`) when its host's earlier connections are gone. */
  #enter(entry: ExportEntry): void {
    const entered = entry.enter();
    if (entered === Entry.entered) this.#beginTransmission(entry);
    else if (entered === Entry.waiting) this.#state = State.waiting;
    else this.fail(entry.reason);
  }

  admitted(): void {
    if (this.#state !== State.waiting || this.#entry === null) return;
    this.#enter(this.#entry);
    this.#process();
  }

  #beginTransmission({ session, exported }: ExportEntry): void {
    const { banks, reserve } = this.#host;
    const { buffers, io } = this.#reactor;
    const writer = new ReplyWriter(io, session);
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
      payload: this.#receiver.payload,
      link: this,
    };
    this.#runner = new CommandRunner(parts);
    this.#transmission = new Transmission(parts, this.#runner);
    this.#state = State.transmission;
  }

  /** Sends the next bank, if there is something to send. Hot path. */
  #send(): void {
    if (this.#state >= State.dead) return;
    const bank = this.#handshakeBank() ?? this.#replies?.takeBank() ?? null;
    if (bank === null) return;
    if (bank.isEmpty) this.#host.banks.give(bank);
    else this.#sender.send(bank);
  }

  /** What the handshake has to say goes before any reply. */
  #handshakeBank(): SendBank<NbdCommand> | null {
    return this.#handshake === null ? null : bankOfOutput(this.#handshake.output, this.#host.banks);
  }

  // hot path
  bankSent(bank: SendBank<NbdCommand>, errno: number): void {
    if (errno !== 0) this.fail(`sending failed (errno ${errno})`);
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
  #releaseBank(bank: SendBank<NbdCommand>): void {
    const runner = this.#runner;
    if (runner !== null) {
      const { startMs } = this.#sender;
      dropList(bank.commands, (command) => runner.sentAt(command, startMs));
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
    this.#farewell.begin(this.#commands?.inFlight ?? 0);
    this.#state = State.draining;
    this.#reason = reason;
    // Commands that wait for room have been received: they are still done.
    if (!this.#stalled) this.#stopReading();
    this.#receiver.cancel();
    this.#timer?.cancel();
    this.#timer = this.#reactor.clock.startTimer(limitMs, () => {
      this.fail(`${reason}, and it does not read its replies`);
    });
    this.#reactor.markDirty(this);
  }

  #finishIfDone(): void {
    if (this.#state === State.closed) return;
    if (this.#receiver.inFlight || this.#sender.inFlight) return;
    if (this.#rest.isActive || (this.#stalled && this.#state === State.draining)) return;
    if (this.#commands !== null && this.#commands.inFlight > 0) return;
    const isDead = this.#state === State.dead;
    const unsent =
      this.#replies?.isEmpty === false || (this.#handshake?.output.lengthBytes ?? 0) > 0;
    if (!isDead && unsent) {
      this.#reactor.markDirty(this);
      return;
    }
    if (this.#state === State.handingOff) this.#handOff();
    else if (isDead || this.#transmission === null || !this.#farewell.linger()) this.#close(true);
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
    this.#receiver.close();
    this.#sender.close();
    if (closeStream) this.stream.close();
    else this.stream.release();
    this.#entry?.leave();
    this.#host.connectionClosed(this, this.#reason);
    const resolve = this.#resolveClosed;
    if (resolve !== null) this.#reactor.deliverLater(resolve);
  }
}
