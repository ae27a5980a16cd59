/**
 * InitiatorConnection: one connection to an NBD server: the handshake, then commands and replies.
 *
 *   opening: handshake --ready--> up: transmission --DISC--> ending --> closed
 *
 * What it has in flight, and when, is `InitiatorStream`'s. When it is closed, commands without an
 * answer are taken back.
 */

import type { ByteStream } from "../../reactor/byte-stream.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import { CommandTable } from "../stream/command-table.ts";
import { InitiatorStream, StreamState } from "../stream/initiator-stream.ts";
import type { ReceiveWindow } from "../stream/receive-window.ts";
import { INITIATOR_COMMANDS_MAX, type InitiatorCommand } from "./initiator-command.ts";
import { InitiatorHandshake } from "./initiator-handshake.ts";
import type { InitiatorRequest, InitiatorSession } from "./initiator-session.ts";
import { ReplyReader } from "./reply-reader.ts";
import type { RequestBank } from "./request-bank.ts";

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

/** Data of this length weighs as much as a command. */
const WEIGHT_SHIFT = 16;
/** Cookies are 32 bits of the 64. */
const COOKIE_MASK = -1;

export class InitiatorConnection extends InitiatorStream<InitiatorCommand, RequestBank> {
  /** Commands submitted and not ended, long ones counted several times. */
  load = 0;
  readonly #host: InitiatorHost;
  readonly #table = new CommandTable<InitiatorCommand>(INITIATOR_COMMANDS_MAX, COOKIE_MASK);
  #handshake: InitiatorHandshake | null;
  /** Commands that the server does not have yet, oldest first. */
  #queueFirst: InitiatorCommand | null = null;
  #queueLast: InitiatorCommand | null = null;

  constructor(parts: InitiatorConnectionParts) {
    super({ ...parts, reactor: parts.host.reactor });
    this.#host = parts.host;
    this.#handshake = new InitiatorHandshake(parts.request);
  }

  /** Sends the command with the others of this turn. Hot path. */
  submit(command: InitiatorCommand): void {
    assert(this.isUp, "commands are submitted to a connection that is up");
    this.load += weightOf(command);
    command.next = null;
    if (this.#queueLast === null) this.#queueFirst = command;
    else this.#queueLast.next = command;
    this.#queueLast = command;
    this.reactor.markDirty(this);
  }

  override disconnect(): void {
    assert(!this.isUp || this.load === 0, "a connection is ended when all of its commands have");
    super.disconnect();
  }

  /** Takes the commands without an answer out; only when `closed` was said. */
  takeCommands(): InitiatorCommand | null {
    assert(this.state === StreamState.closed, "commands are taken back when nothing is in flight");
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
  answered(command: InitiatorCommand): void {
    this.answeredCount++;
    if (!command.isSending) this.#endCommand(command);
  }

  protected override get outstanding(): number {
    return this.#table.count;
  }

  // hot path
  protected override fill(): void {
    const { bank } = this;
    const output = this.#handshake?.output;
    if (output !== undefined) {
      bank.addBytes(output.written);
      output.clear();
      return;
    }
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

  protected override addGoodbye(): void {
    this.bank.addDisconnect();
  }

  // hot path
  protected override payloadSent(command: InitiatorCommand): void {
    if (command.isAnswered) this.#endCommand(command);
  }

  protected override failing(): void {
    this.#host.failing(this);
  }

  protected override closed(): void {
    this.#host.closed(this);
  }

  protected override handshakeBytes(): void {
    const handshake = this.#handshake;
    const { window } = this;
    if (handshake === null) return;
    const { slab, offset } = window.buffer;
    window.start += handshake.feed(slab.bytes, offset + window.start, window.unread);
    this.reactor.markDirty(this);
    const { outcome } = handshake;
    if (outcome.kind === "more") this.receive();
    else if (outcome.kind === "ready") this.#ready(outcome.session);
    else this.fail(outcome.message, outcome.code, outcome.code !== "server-stopping");
  }

  // hot path
  #endCommand(command: InitiatorCommand): void {
    this.#table.remove(command);
    this.load -= weightOf(command);
    if (this.#queueFirst !== null) this.reactor.markDirty(this);
    this.#host.ended(command);
  }

  #ready(session: InitiatorSession): void {
    this.#handshake = null;
    this.bank.setForm(session.extendedHeaders);
    const reader = new ReplyReader({
      slabs: this.reactor.io.slabs,
      window: this.window,
      commands: this.#table,
      sink: this,
      form: session,
    });
    this.reader = reader;
    this.state = StreamState.up;
    this.#host.ready(this, session);
    this.read(reader);
  }
}

// hot path
function weightOf(command: InitiatorCommand): number {
  return command.segments === null ? 1 : 1 + (command.length >> WEIGHT_SHIFT);
}
