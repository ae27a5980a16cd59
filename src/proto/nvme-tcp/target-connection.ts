/**
 * TargetConnection: one host's connection to a controller, from accept to close: one queue.
 *
 *   open --Connect of another reactor's subsystem--> handing off --> closed here
 *     |--end of stream, drain(), H2CTermReq, C2HTermReq--> draining --+
 *     +--error, time-out, the model's end()--> dead ------------------+--> closed
 *
 * Owns the socket and its state; reads by TargetReader, what it does is TargetQueue's. In flight:
 * at most one receive and one send; it closes when neither is, and every command has ended.
 */

import type { BufferWaiter } from "../../reactor/buffer-pool.ts";
import type { ByteStream } from "../../reactor/byte-stream.ts";
import type { Timer } from "../../reactor/clock.ts";
import type { Flushable, Reactor } from "../../reactor/reactor.ts";
import type { NvmeCommand } from "../nvme/io-command.ts";
import { ConnectionReceiver, type ReceiverOwner } from "../stream/connection-receiver.ts";
import { ConnectionSender, type SenderOwner } from "../stream/connection-sender.ts";
import { Farewell } from "../stream/farewell.ts";
import { ReceiveRest, type RestOwner } from "../stream/receive-rest.ts";
import type { ReceiveWindow } from "../stream/receive-window.ts";
import type { SendBank } from "../stream/send-bank.ts";
import { type FatalError, fatalErrorText, TERM_DATA_BYTES_MAX } from "./common.ts";
import type { TargetHost, TargetLink } from "./target-link.ts";
import { TargetQueue } from "./target-queue.ts";
import { TargetReader, Want } from "./target-reader.ts";
import { dropList } from "./target-replies.ts";
import { newSession, type TargetSession } from "./target-session.ts";

const State = { open: 0, handingOff: 1, draining: 2, dead: 3, closed: 4 } as const;
type State = (typeof State)[keyof typeof State];

/** One command's data may take so many times longer than all data together may stand still. */
const PATIENCE = 10;

export interface TargetConnectionParts {
  readonly host: TargetHost;
  readonly stream: ByteStream;
  /** The connection takes over its reference. */
  readonly window: ReceiveWindow;
  readonly peer: string;
  /** Of a connection that another reactor has initialized. */
  readonly session?: TargetSession;
}

export class TargetConnection
  implements BufferWaiter, Flushable, ReceiverOwner, RestOwner, SenderOwner<NvmeCommand>, TargetLink
{
  isDirty = false;
  readonly stream: ByteStream;
  readonly window: ReceiveWindow;
  readonly peer: string;
  readonly listener: string;
  readonly session: TargetSession;
  readonly queue: TargetQueue;
  readonly #host: TargetHost;
  readonly #reactor: Reactor;
  readonly #receiver: ConnectionReceiver<NvmeCommand>;
  readonly #sender: ConnectionSender<NvmeCommand>;
  readonly #farewell: Farewell;
  readonly #reader: TargetReader;
  readonly #rest: ReceiveRest;
  #state: State = State.open;
  #reason = "";
  #timer: Timer | null = null;
  /** Of the reactor that the connection goes to. */
  #goesTo = -1;
  /** Commands are unread because there was no room for them. */
  #stalled = false;
  /** Room may have come back since. */
  #roomFreed = false;
  #waiting = false;
  /** C2HTermReq has been written: nothing follows it. */
  #isTerminating = false;
  #closed: Promise<void> | null = null;
  #resolveClosed: (() => void) | null = null;

  /** Takes over the stream and the window. */
  constructor({ host, stream, window, peer, session }: TargetConnectionParts) {
    this.#host = host;
    this.#reactor = host.reactor;
    this.stream = stream;
    this.window = window;
    this.peer = peer;
    this.listener = host.listener;
    this.session = session ?? newSession();
    const { reactor, vectors } = host;
    this.#receiver = new ConnectionReceiver({ owner: this, reactor, stream, window, vectors });
    this.#sender = new ConnectionSender(this, reactor, stream);
    this.#farewell = new Farewell(reactor, stream, this.#receiver, this.#sender);
    this.#rest = new ReceiveRest(this, reactor, this.#receiver);
    this.queue = new TargetQueue(this, host, this.session);
    this.#reader = new TargetReader(this, this.queue, this.session, this.#receiver.payload);
  }

  /** Reads what is in the window and whatever comes. Once. */
  start(): void {
    const { handshakeMsMax } = this.#host;
    this.#timer = this.#reactor.clock.startTimer(handshakeMsMax, () => {
      this.fail(`no queue has been connected within ${handshakeMsMax} ms`);
    });
    this.#process();
  }

  get canReply(): boolean {
    return this.#state < State.dead && !this.#isTerminating;
  }

  /**
   * For how long the host has neither read what is being sent to it nor sent data that it was asked
   * for, in milliseconds; 0 while nothing is due from it. Data of other commands excuses that of
   * one, but not for ever.
   */
  stuckMs(nowMs: number): number {
    const waited = Math.max(nowMs - this.queue.transfers.oldestMs(), 0);
    const asked = Math.max(Math.min(waited, nowMs - this.#reader.dataMs), waited / PATIENCE);
    const isDue = this.#sender.inFlight || this.#receiver.payload.isUnderWay;
    const silent = isDue ? nowMs - Math.max(this.#receiver.progressMs, this.#sender.progressMs) : 0;
    return Math.max(silent, asked, 0);
  }

  /** Reads no more, finishes what is in flight, answers, closes. Idempotent. */
  drain(): Promise<void> {
    if (this.#closed !== null) return this.#closed;
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    if (this.#state === State.closed) this.#resolve();
    else this.#drain("the subsystem is going away");
    return this.#closed;
  }

  fail(reason: string): void {
    if (this.#state >= State.dead) return;
    this.#state = State.dead;
    this.#reason = reason;
    this.stream.shutdown();
    this.#reader.stop();
    this.queue.abandon();
    this.#abandonTransfers();
    this.#reactor.markDirty(this);
  }

  terminate(fatalError: FatalError, information: number, at: number, reason: string): void {
    if (this.#state >= State.draining) return;
    const { slab, offset } = this.window.buffer;
    const end = Math.min(at + TERM_DATA_BYTES_MAX, offset + this.window.end);
    const wrong = slab.bytes.slice(at, end);
    this.queue.abandon();
    this.queue.replies.postTermReq({ fatalError, information }, wrong);
    this.#isTerminating = true;
    this.#drain(`${reason} (${fatalErrorText(fatalError)})`);
    this.#farewell.wasBusy = true;
  }

  terminated(fatalError: number): void {
    this.#farewell.peerEnded = true;
    this.#drain(`the host has ended the connection (${fatalErrorText(fatalError)})`);
  }

  attached(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  handOff(reactorId: number): void {
    this.#goesTo = reactorId;
    this.#state = State.handingOff;
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
    if (this.#state !== State.open) this.#finishIfDone();
  }

  // hot path
  #resume(): void {
    this.#roomFreed = false;
    if (this.#state >= State.dead) return;
    this.queue.parts.resume();
    if (!this.#stalled) return;
    this.#stalled = false;
    // Until now it was we who kept the host waiting.
    this.#receiver.noteProgress();
    this.#process();
  }

  // hot path
  received(result: number): void {
    if (result <= 0) {
      this.#farewell.noteEnd(result);
      if (result === 0) this.#drain("the host has closed the connection");
      else if (this.#state === State.open) this.fail(`receiving failed (errno ${-result})`);
    }
    if (this.#state >= State.draining) {
      this.#abandonTransfers();
      this.#reactor.markDirty(this);
      return;
    }
    this.#receiver.take(result);
    this.#process();
  }

  /** Does all that can be done with what has been received. Hot path. */
  #process(): void {
    const reader = this.#reader;
    const before = reader.commandCount;
    const want = reader.parse(this.#reactor.clock.nowMs());
    if (this.#state >= State.dead) return;
    if (want === Want.room) this.#waitForRoom();
    else if (this.#state === State.draining) this.#stopReading();
    else if (want === Want.bytes && !this.#rest.begins(reader.commandCount - before)) {
      this.#receive(reader.neededBytes);
    }
  }

  rested(): void {
    if (this.#state === State.open && !this.#stalled) this.#receive(this.#reader.neededBytes);
    else this.#reactor.markDirty(this);
  }

  /** Draining: what has been received is all that will be done. */
  #stopReading(): void {
    this.#reader.stop();
    this.#abandonTransfers();
    this.#reactor.markDirty(this);
  }

  /**
   * Commands whose data will not all come are given up: the one whose data is being received not
   * before that has ended, since until then the kernel may write into its buffer.
   */
  #abandonTransfers(): void {
    if (!this.#receiver.inFlight) this.#reader.abandonPayload();
    this.queue.abandonTransfers(this.#reader.arriving);
  }

  /** Starts a receive; `neededBytes` from the window's start on must fit in all. Hot path. */
  #receive(neededBytes: number): void {
    if (this.#receiver.inFlight || this.#state !== State.open) return;
    if (this.#receiver.receive(neededBytes)) return;
    if (this.#reader.useOwnBuffer()) this.#process();
    else this.#waitForRoom();
  }

  #waitForRoom(): void {
    this.#stalled = true;
    this.awaitMemory();
  }

  /** Sends the next bank, if there is something to send. Hot path. */
  #send(): void {
    if (this.#state >= State.dead) return;
    const bank = this.queue.replies.takeBank();
    if (bank === null) return;
    if (bank.isEmpty) this.#host.banks.give(bank);
    else this.#sender.send(bank);
  }

  // hot path
  bankSent(bank: SendBank<NvmeCommand>, errno: number): void {
    if (errno !== 0) this.fail(`sending failed (errno ${errno})`);
    const { startMs } = this.#sender;
    const { queue } = this;
    dropList(bank.commands, (command) => queue.sentAt(command, startMs));
    this.#host.banks.give(bank);
    if (this.#state < State.dead) {
      queue.replies.refill();
      if (this.#stalled) this.#roomFreed = true;
    }
    this.#reactor.markDirty(this);
  }

  #drain(reason: string): void {
    if (this.#state >= State.draining) return;
    this.#farewell.begin(this.queue.commands.inFlight);
    this.#state = State.draining;
    this.#reason = reason;
    this.#stalled = false;
    this.#stopReading();
    this.#receiver.cancel();
    this.#timer?.cancel();
    this.#timer = this.#reactor.clock.startTimer(this.#host.drainMsMax, () => {
      this.fail(`${reason}, and it does not read its answers`);
    });
    this.#reactor.markDirty(this);
  }

  #finishIfDone(): void {
    if (this.#state === State.closed) return;
    if (this.#receiver.inFlight || this.#sender.inFlight || this.#rest.isActive) return;
    if (this.queue.commands.inFlight > 0) return;
    const isDead = this.#state === State.dead;
    if (!isDead && !this.queue.replies.isEmpty) {
      this.#reactor.markDirty(this);
      return;
    }
    if (this.#state === State.handingOff) this.#handOff();
    else if (isDead || !this.#farewell.linger()) this.#close(true);
  }

  #handOff(): void {
    const { slab, offset } = this.window.buffer;
    const unread = slab.bytes.slice(offset + this.window.start, offset + this.window.end);
    const taken = this.#host.handOff(this, this.#goesTo, this.session, unread);
    this.#reason = taken ? "handed off" : "the subsystem is gone";
    this.#close(!taken);
  }

  #close(closeStream: boolean): void {
    this.#state = State.closed;
    this.#timer?.cancel();
    if (this.#waiting) this.#reactor.buffers.stopWaiting(this);
    const unsent = this.queue.replies.takeBank();
    if (unsent !== null) this.#host.banks.give(unsent);
    this.#receiver.close();
    this.#sender.close();
    if (closeStream) this.stream.close();
    else this.stream.release();
    this.#host.connectionClosed(this, this.#reason);
    this.queue.subsystem?.queueEnded(this.queue);
    if (this.#resolveClosed !== null) this.#resolve();
  }

  #resolve(): void {
    const resolve = this.#resolveClosed;
    if (resolve !== null) this.#reactor.deliverLater(resolve);
  }
}
