/**
 * InitiatorCommand: one command of ours on its way to a server and back, and the table of those
 * that one connection has sent. Pooled by the device that subclasses it.
 *
 *   queued --encoded--> sending --sent--> sent --last chunk--> ended
 *                          +--last chunk (a server in a hurry)--> answered --sent--> ended
 *
 * Its memory is in use until `ended`: by the send in flight, by the receive, or both.
 */

import type { SegmentList } from "../../block/segments.ts";
import { assert } from "../../util/assert.ts";
import { ChunkCoverage } from "./chunk-coverage.ts";

/** Commands that one connection has with the server at a time; more wait here. */
export const INITIATOR_COMMANDS_MAX = 256;

const INDEX_BITS = 8;

export abstract class InitiatorCommand {
  /** `Command` of the wire. */
  command = 0;
  /** `CommandFlag` bits of the wire. */
  flags = 0;
  /** Bytes on the export. */
  offset = 0;
  length = 0;
  /** A write's data, or where a read's goes: `length` bytes from `segmentStart` on. */
  segments: SegmentList | null = null;
  segmentStart = 0;
  /** The first `NbdError` of the answer, else 0. */
  error = 0;
  /** Where on the export it was, as far as the server says; else -1. */
  errorOffset = -1;
  /** Of the data of a read, in bytes of the export. */
  readonly coverage: ChunkCoverage = new ChunkCoverage();
  /** A block-status chunk has come. */
  hasStatus = false;
  /** Its payload is in a send in flight. */
  isSending = false;
  /** The last chunk has come. */
  isAnswered = false;
  /** Place in the connection's table; -1 while it is not with the server. */
  index = -1;
  cookie = 0;
  /** Free for the list that it is in. */
  next: InitiatorCommand | null = null;

  /** One extent of a block-status answer, in order; may go on behind the range. Hot path. */
  abstract extent(lengthBytes: number, flags: number): void;

  /** Forgets every answer: it is about to be sent, perhaps again. Hot path. */
  beginAttempt(): void {
    this.error = 0;
    this.errorOffset = -1;
    this.coverage.clear();
    this.hasStatus = false;
    this.isSending = false;
    this.isAnswered = false;
  }
}

/** The commands of one connection that the server has, by cookie. */
export class CommandTable {
  count = 0;
  readonly #slots: (InitiatorCommand | null)[] = [];
  readonly #free: number[] = [];
  #uses = 0;

  get isFull(): boolean {
    return this.count === INITIATOR_COMMANDS_MAX;
  }

  /** Gives it a cookie: its place and the number of the use, so that no late answer fits. */
  add(command: InitiatorCommand): void {
    assert(command.index === -1 && !this.isFull, "a command is with the server once");
    const index = this.#free.pop() ?? this.#slots.length;
    this.#uses = (this.#uses + 1) | 0;
    command.index = index;
    command.cookie = (this.#uses << INDEX_BITS) | index;
    this.#slots[index] = command;
    this.count++;
  }

  /** The command that a reply is for, or null. Hot path. */
  find(cookieHigh: number, cookieLow: number): InitiatorCommand | null {
    const found = this.#slots[cookieLow & (INITIATOR_COMMANDS_MAX - 1)] ?? null;
    if (found === null || cookieHigh !== 0 || found.cookie !== cookieLow) return null;
    return found.isAnswered ? null : found;
  }

  remove(command: InitiatorCommand): void {
    assert(this.#slots[command.index] === command, "only a command of the table leaves it");
    this.#slots[command.index] = null;
    this.#free.push(command.index);
    command.index = -1;
    this.count--;
  }

  /** Takes any of them out, or null. */
  takeAny(): InitiatorCommand | null {
    for (const command of this.#slots) {
      if (command === null) continue;
      this.remove(command);
      return command;
    }
    return null;
  }
}
