/**
 * NbdCommand: one client request, from its header until its reply has been sent. Pooled by its
 * connection; it is itself the device request in the common case (aligned, at most 1 MiB).
 */

import { BufferRequest } from "../../block/buffer-request.ts";
import { ExtentList } from "../../block/extents.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";

/** What is sent back for a command. */
export const ReplyKind = {
  /** Success without data. */
  done: 0,
  /** `error`, with the status's name where the reply has room for words. */
  error: 1,
  /** The data of a read, or of one part of a long one. */
  data: 2,
  /** A block-status payload that lies ready in `buffer`. */
  prepared: 3,
} as const;
export type ReplyKind = (typeof ReplyKind)[keyof typeof ReplyKind];

/** A long command that works in parts: told when a part's reply has been written. */
export interface PartOwner {
  partCompleted(part: NbdCommand): void;
  partWritten(part: NbdCommand): void;
  /** Its reply has left. @returns true: the owner goes on using the part and its memory */
  partSent?(part: NbdCommand): boolean;
}

/** Gets a command back when its device request has ended. */
export interface CommandOwner {
  commandCompleted(command: NbdCommand): void;
}

/** Its buffer: a read's data, a large write's payload, a block-status reply. */
export class NbdCommand extends BufferRequest {
  readonly #owner: CommandOwner;
  /** `Command` of the wire. */
  command = 0;
  /** `CommandFlag` bits of the wire. */
  commandFlags = 0;
  cookieHigh = 0;
  cookieLow = 0;
  /** The request's offset as it came, for extended replies. */
  wireOffsetHigh = 0;
  wireOffsetLow = 0;
  /** The range the client asked for; `offset` and `length` may be its aligned hull. */
  wireOffset = 0;
  wireLength = 0;
  /** When its header was read, on the reactor's clock. */
  startMs = 0;
  /** The receive buffer that a small write's payload lies in. */
  payloadIn: PoolBuffer | null = null;
  reply: ReplyKind = ReplyKind.done;
  /** `NbdError` of an error reply. */
  error = 0;
  /** The long command that this one is a part of. */
  owner: PartOwner | null = null;
  /** Of a part: the reply starts with it, ends with it. Both for a whole command. */
  isFirst = true;
  isLast = true;
  /** Prepared replies: bytes in `buffer`. */
  preparedBytes = 0;
  /** List of replies: of a bank, or waiting for one. */
  nextReply: NbdCommand | null = null;

  constructor(owner: CommandOwner) {
    super();
    this.#owner = owner;
  }

  // hot path
  override complete(): void {
    this.#owner.commandCompleted(this);
  }

  protected override get memory(): PoolBuffer | null {
    return this.buffer ?? this.payloadIn;
  }

  /** The list for block-status; made at its first use. */
  extentList(): ExtentList {
    this.extents ??= new ExtentList();
    return this.extents;
  }
}
