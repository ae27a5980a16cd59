/**
 * ReplyQueue: replies in the order they became ready, written into banks as there is room.
 *
 * A long read without structured replies is one header and then all its data: while it goes on
 * (`hold`) the replies of others wait.
 */

import { assert } from "../../util/assert.ts";
import type { NbdCommand, PartOwner } from "./command.ts";
import type { ReplyWriter } from "./reply-writer.ts";
import type { SendBank, SendBankPool } from "../stream/send-bank.ts";

export class ReplyQueue {
  readonly #banks: SendBankPool<NbdCommand>;
  readonly #writer: ReplyWriter;
  readonly #onReady: () => void;
  #filling: SendBank<NbdCommand> | null = null;
  #head: NbdCommand | null = null;
  #tail: NbdCommand | null = null;
  #holder: PartOwner | null = null;
  /** The holder's next part, when there was no room for it. */
  #heldPart: NbdCommand | null = null;

  /** @param onReady there is something to send */
  constructor(banks: SendBankPool<NbdCommand>, writer: ReplyWriter, onReady: () => void) {
    this.#banks = banks;
    this.#writer = writer;
    this.#onReady = onReady;
  }

  get isEmpty(): boolean {
    return this.#filling === null && this.#head === null && this.#heldPart === null;
  }

  /** From now on only parts of `owner` are written. Once at a time. */
  hold(owner: PartOwner): void {
    assert(this.#holder === null, "one long reply at a time");
    this.#holder = owner;
  }

  get isHeld(): boolean {
    return this.#holder !== null;
  }

  /** Queues `command`'s reply. Hot path. */
  post(command: NbdCommand): void {
    if (this.#holder !== null && command.owner === this.#holder) {
      assert(this.#heldPart === null, "parts come one after the other");
      if (this.#bank() === null) this.#heldPart = command;
      else this.#write(command);
      return;
    }
    if (this.#holder !== null || this.#head !== null || this.#bank() === null) {
      this.#append(command);
      return;
    }
    this.#write(command);
  }

  /** The bank to send now, or null; the caller gives it back to the pool. Hot path. */
  takeBank(): SendBank<NbdCommand> | null {
    const bank = this.#filling;
    this.#filling = null;
    return bank;
  }

  /** Writes what waited, now that a bank is free again. */
  refill(): void {
    const part = this.#heldPart;
    if (part !== null) {
      if (this.#bank() === null) return;
      this.#heldPart = null;
      this.#write(part);
    }
    while (this.#head !== null && this.#holder === null && this.#bank() !== null) {
      const command = this.#head;
      this.#head = command.nextReply;
      if (this.#head === null) this.#tail = null;
      command.nextReply = null;
      this.#write(command);
    }
  }

  /** Gives up everything unsent; each command goes to `drop`. */
  abandon(drop: (command: NbdCommand) => void): void {
    this.#holder = null;
    const bank = this.#filling;
    this.#filling = null;
    const lists = [this.#heldPart, this.#head, bank?.commands ?? null];
    this.#heldPart = null;
    this.#head = null;
    this.#tail = null;
    if (bank !== null) this.#banks.give(bank);
    for (const list of lists) dropList(list, drop);
  }

  // hot path
  #write(command: NbdCommand): void {
    const bank = this.#filling as SendBank<NbdCommand>; // #bank() was not null
    this.#writer.write(bank, command);
    command.nextReply = bank.commands;
    bank.commands = command;
    const owner = command.owner;
    if (command.isLast && owner === this.#holder) this.#holder = null;
    this.#onReady();
    owner?.partWritten(command);
  }

  /** The bank to write to, or null when it is full. Hot path. */
  #bank(): SendBank<NbdCommand> | null {
    this.#filling ??= this.#banks.take();
    return this.#filling.hasRoom ? this.#filling : null;
  }

  #append(command: NbdCommand): void {
    if (this.#tail === null) this.#head = command;
    else this.#tail.nextReply = command;
    this.#tail = command;
  }
}

/** Walks a list of replies, unlinking each command before it is handed over. */
export function dropList(list: NbdCommand | null, drop: (command: NbdCommand) => void): void {
  for (let command = list; command !== null; ) {
    const next: NbdCommand | null = command.nextReply;
    command.nextReply = null;
    drop(command);
    command = next;
  }
}
