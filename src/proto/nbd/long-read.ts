/**
 * LongRead: a read over 1 MiB, over what memory allows, or off the block grid. Done in aligned
 * parts, one after the other: while one part is being sent the next one is read.
 *
 * Structured replies: each part is a chunk of its own. Simple ones: header and all data are one
 * stretch of the stream, so the reply queue is held from the first part to the last; an error
 * behind the first part can then only be told by closing the connection.
 */

import { TRANSFER_BYTES_MAX } from "../../block/device.ts";
import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import { BUFFER_BYTES_MIN } from "../../reactor/buffer-pool.ts";
import type { NbdCommand, PartOwner } from "./command.ts";
import { ReplyKind } from "./command.ts";

/** What a long read needs of its transmission. */
export interface LongReadHost {
  readonly blockSizeBytes: number;
  /** True: one stretch of the stream. */
  readonly isSimple: boolean;
  /** The most that a part may hold now, in bytes: a multiple of the page size, or 0. */
  allowance(): number;
  /** A command with a buffer of at least `lengthBytes`, or null: `resume` is called later. */
  takePart(parent: NbdCommand, lengthBytes: number): NbdCommand | null;
  submitPart(part: NbdCommand): void;
  postReply(command: NbdCommand): void;
  holdReplies(owner: PartOwner): void;
  dropPart(part: NbdCommand): void;
  /** The parent's reply has been posted or cannot be given any more. */
  longReadEnded(read: LongRead): void;
  /** The stream is broken: end the connection. */
  fail(reason: string): void;
}

export class LongRead implements PartOwner {
  readonly #host: LongReadHost;
  readonly #parent: NbdCommand;
  readonly #end: number;
  #next: number;
  #anyWritten = false;
  /** A part is being read, or waits for room in a bank. */
  #busy = false;
  #ended = false;

  constructor(host: LongReadHost, parent: NbdCommand) {
    this.#host = host;
    this.#parent = parent;
    this.#next = parent.wireOffset;
    this.#end = parent.wireOffset + parent.wireLength;
  }

  /** Starts the next part if there is memory for it; called again by `resume`. */
  advance(): void {
    if (this.#busy || this.#ended) return;
    const block = this.#host.blockSizeBytes;
    const start = this.#next - (this.#next % block);
    const hullEnd = Math.ceil(this.#end / block) * block;
    const allowed = Math.max(this.#host.allowance(), BUFFER_BYTES_MIN);
    const length = Math.min(hullEnd - start, TRANSFER_BYTES_MAX, allowed);
    const part = this.#host.takePart(this.#parent, length);
    if (part !== null) this.#read(part, start, length);
  }

  /** Reads all of it as one part, whose buffer is large enough. */
  readWhole(part: NbdCommand): void {
    const block = this.#host.blockSizeBytes;
    const start = this.#next - (this.#next % block);
    this.#read(part, start, Math.ceil(this.#end / block) * block - start);
  }

  #read(part: NbdCommand, start: number, length: number): void {
    part.owner = this;
    part.operation = Operation.read;
    part.offset = start;
    part.length = length;
    part.wireOffset = this.#next;
    part.wireLength = Math.min(start + length, this.#end) - this.#next;
    part.isFirst = this.#next === this.#parent.wireOffset;
    part.isLast = this.#next + part.wireLength === this.#end;
    part.reply = ReplyKind.data;
    this.#next += part.wireLength;
    this.#busy = true;
    this.#host.submitPart(part);
  }

  partCompleted(part: NbdCommand): void {
    if (this.#ended) {
      this.#host.dropPart(part);
      return;
    }
    if (part.status === Status.ok) {
      if (part.isFirst && !part.isLast && this.#host.isSimple) this.#host.holdReplies(this);
      this.#host.postReply(part);
      return;
    }
    this.#busy = false;
    this.#parent.status = part.status;
    this.#host.dropPart(part);
    if (this.#host.isSimple && this.#anyWritten) {
      this.#host.fail("a long read failed behind its first part");
      this.#finish();
      return;
    }
    // Structured: an error chunk may follow data chunks, and ends the reply.
    this.#parent.reply = ReplyKind.error;
    this.#finish();
    this.#host.postReply(this.#parent);
  }

  partWritten(part: NbdCommand): void {
    this.#busy = false;
    this.#anyWritten = true;
    if (part.isLast) {
      this.#finish();
      this.#host.dropPart(this.#parent);
    } else {
      this.advance();
    }
  }

  /**
   * Simple replies: other replies wait for the end of this one, and hold memory meanwhile. So when
   * there is none for the next part, that is read into the memory of the one just sent.
   */
  partSent(part: NbdCommand): boolean {
    const { buffer } = part;
    if (!this.#host.isSimple || this.#busy || this.#ended || buffer === null) return false;
    const block = this.#host.blockSizeBytes;
    const start = this.#next - (this.#next % block);
    const hullEnd = Math.ceil(this.#end / block) * block;
    part.segments.clear();
    this.#read(part, start, Math.min(hullEnd - start, buffer.lengthBytes));
    return true;
  }

  /** The connection is gone: nothing more is read. */
  abandon(): void {
    if (this.#ended) return;
    this.#finish();
    this.#host.dropPart(this.#parent);
  }

  #finish(): void {
    this.#ended = true;
    this.#host.longReadEnded(this);
  }
}
