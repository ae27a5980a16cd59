/**
 * NvmeCommand: one command of a host, from its capsule until its answer has been sent. Pooled by
 * its queue; it is itself the device request.
 *
 *   taken --prepareIo--> [waits for memory] --> [data arrives] --> device --> answer --> free
 *                              ^------ next part, if memory or the device is short -----'
 *
 * Data moves in parts: one part in the common case, more where memory is short or the device takes
 * less at a time. `offset`, `length`, `segments` of the request are those of the part.
 */

import { BufferRequest } from "../../block/buffer-request.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import type { DatasetRanges } from "./dataset-ranges.ts";
import type { NamespaceFace, SlowCommand } from "./transport.ts";

/** What is to be done with a command. */
export const CommandKind = {
  read: 0,
  write: 1,
  compare: 2,
  /** Read and throw away. */
  verify: 3,
  /** One device request without data: flush, write zeroes. */
  effect: 4,
  /** Dataset management: its data lists ranges to deallocate. */
  deallocate: 5,
  /** The model's; its data, if any, is still to come from the host. */
  slow: 6,
  /** The model has answered with data. */
  slowReply: 7,
} as const;
export type CommandKind = (typeof CommandKind)[keyof typeof CommandKind];

/** What is sent back for a command. */
export const ReplyKind = {
  /** A completion alone. */
  completion: 0,
  /** A part of its data; with the last part, the completion. */
  data: 1,
  /** A request for a part of its data: the command goes on. */
  request: 2,
} as const;
export type ReplyKind = (typeof ReplyKind)[keyof typeof ReplyKind];

/** Somebody waits for requests to end. */
export interface Settling {
  requestEnded(): void;
}

/** Gets a command back when its device request has ended. */
export interface CommandOwner {
  commandCompleted(command: NvmeCommand): void;
}

export class NvmeCommand extends BufferRequest {
  readonly #owner: CommandOwner;
  /** Of the wire. */
  opcode = 0;
  cid = 0;
  kind: CommandKind = CommandKind.read;
  namespace: NamespaceFace | null = null;
  /** Where its range begins, in bytes from the device's start. */
  base = 0;
  /** Bytes of its data; of effect, where it has none. */
  totalBytes = 0;
  /** Bytes of the parts that are behind it. */
  doneBytes = 0;
  /** Bytes of the part under way. */
  partBytes = 0;
  /** `RequestFlag` bits of each part. */
  deviceFlags = 0;
  /** The status that it is answered with, flags included; 0 so far. */
  answer = 0;
  dw0 = 0;
  dw1 = 0;
  /** When its capsule was read, on the reactor's clock. */
  startMs = 0;
  /** Where in `buffer` its data begins. */
  bufferOffset = 0;
  /** The receive buffer in which the data of its capsule lies. */
  payloadIn: PoolBuffer | null = null;
  /** Of a part that the host was asked for: its tag, or -1; bytes that have come; when it moved. */
  transferTag = -1;
  receivedBytes = 0;
  transferMs = 0;
  reply: ReplyKind = ReplyKind.completion;
  /** What the model has of it. */
  slow: SlowCommand | null = null;
  /** Of one that is the model's: data from or for the model. */
  slowData: Uint8Array | null = null;
  /** Of dataset management; made at its first use. */
  ranges: DatasetRanges | null = null;
  /** Told when the device request under way has ended. */
  settling: Settling | null = null;
  /** Of a fused pair: the other one. */
  partner: NvmeCommand | null = null;
  /** List of replies: of a bank, or waiting for one. */
  nextReply: NvmeCommand | null = null;
  /** List of those that wait for memory. */
  nextWaiting: NvmeCommand | null = null;

  constructor(owner: CommandOwner) {
    super();
    this.#owner = owner;
  }

  // hot path
  override complete(): void {
    this.#owner.commandCompleted(this);
  }

  /** The part under way is its last. Hot path. */
  get isLastPart(): boolean {
    return this.doneBytes + this.partBytes === this.totalBytes;
  }

  protected override get memory(): PoolBuffer | null {
    return this.buffer ?? this.payloadIn;
  }

  /** As new, for the next command; its memory has been given back. Hot path. */
  reset(): void {
    this.segments.clear();
    this.kind = CommandKind.read;
    this.namespace = null;
    this.flags = 0;
    this.deviceFlags = 0;
    this.doneBytes = 0;
    this.receivedBytes = 0;
    this.answer = 0;
    this.dw0 = 0;
    this.dw1 = 0;
    this.bufferOffset = 0;
    this.slow = null;
    this.slowData = null;
    this.partner = null;
  }
}
