/**
 * ReplyReader: reads a server's replies from the receive window, in any split, into the commands
 * that they answer.
 *
 *   header --> data (copied from the window, or received in place) --+
 *     |  +---> hole, error, message, error offset, status, extents --+--> header, or command ended
 *     +--simple: command ended
 *
 * No I/O of its own. A server is not trusted: whatever does not add up (an unknown cookie, a range
 * outside of its read, bytes sent twice or not at all) gives the reason and ends the connection.
 *
 * spec: NBD proto.md "Structured reply chunk message", "Structured reply types"
 */

import { ExtentFlag } from "../../block/extents.ts";
import { copyToSegments, zeroRange } from "../../block/segment-copy.ts";
import type { SegmentList } from "../../block/segments.ts";
import type { SlabSpace } from "../../reactor/slab.ts";
import { assert, unreachable } from "../../util/assert.ts";
import {
  AllocationState,
  ChunkFlag,
  ChunkType,
  Command,
  NbdError,
  STRING_BYTES_MAX,
} from "./constants.ts";
import type { InitiatorCommand } from "./initiator-command.ts";
import {
  BLOCK_STATUS_BYTES,
  BLOCK_STATUS_EXT_BYTES,
  ERROR_BYTES,
  EXTENT_BYTES,
  EXTENT_EXT_BYTES,
  OFFSET_DATA_BYTES,
  OFFSET_HOLE_BYTES,
  EXTENDED_CHUNK_BYTES,
} from "./pdu-reply.ts";
import { decodeReply, decodeUint64, ReplyHeader, replyHeaderBytes } from "./pdu-reply-decode.ts";
import type { CommandTable } from "../stream/command-table.ts";
import type { AnswerReader } from "../stream/initiator-stream.ts";
import type { ReceiveWindow } from "../stream/receive-window.ts";

export interface ReplyForm {
  readonly structuredReplies: boolean;
  readonly extendedHeaders: boolean;
  readonly allocationContext: number | null;
}

/** Gets each command whose last chunk has come. */
export interface AnswerSink {
  /** Out of the turn's parsing: may start others, must not end the connection. */
  answered(command: InitiatorCommand): void;
}

const Step = {
  header: 0,
  dataOffset: 1,
  data: 2,
  hole: 3,
  error: 4,
  message: 5,
  errorOffset: 6,
  status: 7,
  extents: 8,
} as const;
type Step = (typeof Step)[keyof typeof Step];

const MAGIC_BYTES = 4;
const UINT64_BYTES = 8;
/** Bit of the chunk types that tell of an error, known or not. */
const ERROR_TYPE_BIT = 0x8000;
/** Longest block-status payload: 2^20 of the larger extents. */
const STATUS_BYTES_MAX = 16 * 1024 * 1024;

export class ReplyReader implements AnswerReader {
  /** Bytes of data that are to come next; `segments` from `dataAt` on are where they go. */
  dataLeft = 0;
  dataAt = 0;
  readonly #slabs: SlabSpace;
  readonly #window: ReceiveWindow;
  readonly #commands: CommandTable<InitiatorCommand>;
  readonly #sink: AnswerSink;
  readonly #structured: boolean;
  readonly #extended: boolean;
  readonly #context: number | null;
  readonly #header = new ReplyHeader();
  #step: Step = Step.header;
  /** What the chunk under way is for; set while `#step` is not `header`. */
  #command: InitiatorCommand | null = null;
  #isLast = false;
  /** Payload bytes of the chunk not yet read. */
  #payloadLeft = 0;
  /** Of the range that the status chunk under way has still to describe. */
  #statusLeft = 0;
  #violation: string | null = null;

  constructor(parts: {
    readonly slabs: SlabSpace;
    readonly window: ReceiveWindow;
    readonly commands: CommandTable<InitiatorCommand>;
    readonly sink: AnswerSink;
    readonly form: ReplyForm;
  }) {
    this.#slabs = parts.slabs;
    this.#window = parts.window;
    this.#commands = parts.commands;
    this.#sink = parts.sink;
    this.#structured = parts.form.structuredReplies;
    this.#extended = parts.form.extendedHeaders;
    this.#context = parts.form.allocationContext;
  }

  /** Where the data under way goes; null: none is under way. */
  get dataSegments(): SegmentList | null {
    return this.dataLeft > 0 ? (this.#command?.segments ?? null) : null;
  }

  /** The window must be able to hold this much behind its start. */
  get neededBytes(): number {
    return EXTENDED_CHUNK_BYTES;
  }

  /**
   * Reads all that is there. @returns null, or how the server broke the protocol; once it has,
   * the stream is out of step for good. Hot path.
   */
  read(): string | null {
    while (this.#violation === null && this.#next());
    return this.#violation;
  }

  /** `length` bytes of data have been received where they go. Hot path. */
  received(length: number): void {
    assert(length <= this.dataLeft, "a receive stays within the data");
    this.dataAt += length;
    this.dataLeft -= length;
    if (this.dataLeft === 0) this.#endChunk();
  }

  /** One step; false when it needs bytes that are not there, or has failed. Hot path. */
  #next(): boolean {
    const step = this.#step;
    switch (step) {
      case Step.header:
        return this.#readHeader();
      case Step.data:
        return this.#copyData();
      case Step.dataOffset:
        return this.#has(OFFSET_DATA_BYTES) && this.#beginData();
      case Step.hole:
        return this.#has(OFFSET_HOLE_BYTES) && this.#readHole();
      case Step.error:
        return this.#has(ERROR_BYTES) && this.#readError();
      case Step.message:
        return this.#skipMessage();
      case Step.errorOffset:
        return this.#has(UINT64_BYTES) && this.#readErrorOffset();
      case Step.status: {
        const bytes = this.#extended ? BLOCK_STATUS_EXT_BYTES : BLOCK_STATUS_BYTES;
        return this.#has(bytes) && this.#beginStatus();
      }
      case Step.extents: {
        const bytes = this.#extended ? EXTENT_EXT_BYTES : EXTENT_BYTES;
        return this.#has(bytes) && this.#readExtent();
      }
      default:
        return unreachable(step);
    }
  }

  // hot path
  #readHeader(): boolean {
    const window = this.#window;
    if (window.unread < MAGIC_BYTES) return false;
    const { view } = window.buffer.slab;
    const at = window.buffer.offset + window.start;
    const headerBytes = replyHeaderBytes(view, at, this.#extended);
    if (headerBytes === 0) return this.#fail("what should be a reply is none");
    if (window.unread < headerBytes) return false;
    const header = this.#header;
    decodeReply(view, at, this.#extended, header);
    window.start += headerBytes;
    const command = this.#commands.find(header.cookieLow);
    if (command === null || header.cookieHigh !== 0)
      return this.#fail("a reply to a request that was not made");
    this.#command = command;
    if (header.simple) return this.#onSimple(command, header.error);
    if (!this.#structured) return this.#fail("a structured reply that was not agreed on");
    return this.#onChunk(command, header);
  }

  // hot path
  #onSimple(command: InitiatorCommand, error: number): boolean {
    const { command: kind } = command;
    const isData = kind === Command.read || kind === Command.blockStatus;
    // spec: with structured replies a server MUST NOT answer these with a simple one.
    if (this.#structured && isData)
      return this.#fail("a simple reply where a structured one is due");
    this.#isLast = true;
    if (error !== NbdError.none) command.error = error;
    if (kind !== Command.read || error !== NbdError.none) return this.#endCommand(command);
    return this.#startData(command, command.offset, command.length);
  }

  // hot path
  #onChunk(command: InitiatorCommand, header: ReplyHeader): boolean {
    if (this.#extended) {
      const sameLow = header.offsetLow === (command.offset | 0);
      if (!sameLow || header.offsetHigh !== ((command.offset / 4_294_967_296) | 0)) {
        return this.#fail("a reply that states another offset than its request");
      }
    }
    this.#isLast = (header.flags & ChunkFlag.done) !== 0;
    this.#payloadLeft = header.payloadBytes;
    const { type } = header;
    if (type === ChunkType.offsetData) return this.#onDataChunk(command);
    if (type === ChunkType.none) return this.#onNone(command);
    if (type === ChunkType.offsetHole) return this.#onHoleChunk(command);
    if ((type & ERROR_TYPE_BIT) !== 0) return this.#onErrorChunk(type);
    const statusType = this.#extended ? ChunkType.blockStatusExt : ChunkType.blockStatus;
    if (type === statusType) return this.#onStatusChunk(command);
    return this.#fail(`a chunk of type ${type}`);
  }

  #onNone(command: InitiatorCommand): boolean {
    if (this.#payloadLeft !== 0 || !this.#isLast)
      return this.#fail("a none chunk with something in it");
    return this.#endCommand(command);
  }

  // hot path
  #onDataChunk(command: InitiatorCommand): boolean {
    if (command.command !== Command.read)
      return this.#fail("data for a request that reads nothing");
    if (this.#payloadLeft <= OFFSET_DATA_BYTES) return this.#fail("a data chunk without data");
    this.#step = Step.dataOffset;
    return true;
  }

  #onHoleChunk(command: InitiatorCommand): boolean {
    if (command.command !== Command.read)
      return this.#fail("a hole for a request that reads nothing");
    if (this.#payloadLeft !== OFFSET_HOLE_BYTES)
      return this.#fail("a hole chunk of a wrong length");
    this.#step = Step.hole;
    return true;
  }

  #onErrorChunk(type: number): boolean {
    const hasOffset = type === ChunkType.errorOffset;
    const least = ERROR_BYTES + (hasOffset ? UINT64_BYTES : 0);
    const most = ERROR_BYTES + STRING_BYTES_MAX + UINT64_BYTES;
    if (this.#payloadLeft < least || this.#payloadLeft > most) {
      return this.#fail(`an error chunk of ${this.#payloadLeft} bytes`);
    }
    this.#step = Step.error;
    return true;
  }

  #onStatusChunk(command: InitiatorCommand): boolean {
    if (command.command !== Command.blockStatus)
      return this.#fail("a status that nobody asked for");
    if (command.hasStatus) return this.#fail("a second status of one context");
    const fixed = this.#extended ? BLOCK_STATUS_EXT_BYTES : BLOCK_STATUS_BYTES;
    const each = this.#extended ? EXTENT_EXT_BYTES : EXTENT_BYTES;
    const extentBytes = this.#payloadLeft - fixed;
    const isWhole = extentBytes > 0 && extentBytes % each === 0;
    if (!isWhole || extentBytes > STATUS_BYTES_MAX) {
      return this.#fail(`a status chunk of ${this.#payloadLeft} bytes`);
    }
    this.#step = Step.status;
    return true;
  }

  // hot path
  #beginData(): boolean {
    const command = this.#command as InitiatorCommand; // a chunk under way has one
    const offset = this.#takeUint64();
    return this.#startData(command, offset, this.#payloadLeft);
  }

  // hot path
  #startData(command: InitiatorCommand, offset: number, length: number): boolean {
    const start = offset - command.offset;
    if (!(start >= 0) || start + length > command.length) {
      return this.#fail("data outside of the range that was read");
    }
    if (!command.coverage.add(start, start + length)) return this.#fail("data that came before");
    this.dataAt = command.segmentStart + start;
    this.dataLeft = length;
    this.#step = Step.data;
    return true;
  }

  // hot path
  #copyData(): boolean {
    const window = this.#window;
    const length = Math.min(window.unread, this.dataLeft);
    if (length === 0) return false;
    const { slab, offset } = window.buffer;
    const segments = this.dataSegments;
    assert(segments !== null, "a read has memory for its data");
    const from = offset + window.start;
    copyToSegments(this.#slabs, segments, this.dataAt, slab.bytes, from, length);
    window.start += length;
    this.received(length);
    return true;
  }

  #readHole(): boolean {
    const command = this.#command as InitiatorCommand; // a chunk under way has one
    const offset = this.#takeUint64();
    const length = this.#takeUint32();
    const start = offset - command.offset;
    if (!(start >= 0) || length === 0 || start + length > command.length) {
      return this.#fail("a hole outside of the range that was read");
    }
    if (!command.coverage.add(start, start + length)) return this.#fail("a hole where data came");
    const { segments } = command;
    assert(segments !== null, "a read has memory for its data");
    zeroRange(this.#slabs, segments, command.segmentStart + start, length);
    return this.#endChunk();
  }

  #readError(): boolean {
    const command = this.#command as InitiatorCommand; // a chunk under way has one
    const error = this.#takeUint32();
    const window = this.#window;
    const messageBytes = window.buffer.slab.view.getUint16(window.buffer.offset + window.start);
    this.#take(2);
    if (error === NbdError.none) return this.#fail("an error chunk without an error");
    const offsetBytes = this.#header.type === ChunkType.errorOffset ? UINT64_BYTES : 0;
    if (messageBytes > this.#payloadLeft - offsetBytes) {
      return this.#fail("an error message longer than its chunk");
    }
    if (command.error === NbdError.none) command.error = error;
    this.#step = Step.message;
    return true;
  }

  /** The words are for people; all but an offset at the end is skipped. */
  #skipMessage(): boolean {
    const isOffset = this.#header.type === ChunkType.errorOffset;
    const left = this.#payloadLeft - (isOffset ? UINT64_BYTES : 0);
    const skipped = Math.min(left, this.#window.unread);
    this.#take(skipped);
    if (skipped < left) return false;
    if (!isOffset) return this.#endChunk();
    this.#step = Step.errorOffset;
    return true;
  }

  #readErrorOffset(): boolean {
    const command = this.#command as InitiatorCommand; // a chunk under way has one
    const offset = this.#takeUint64();
    const start = offset - command.offset;
    if (!(start >= 0) || start >= command.length)
      return this.#fail("an error outside of its range");
    if (command.errorOffset < 0) command.errorOffset = offset;
    return this.#endChunk();
  }

  #beginStatus(): boolean {
    const command = this.#command as InitiatorCommand; // a chunk under way has one
    if (this.#takeUint32() !== this.#context) return this.#fail("a status of another context");
    if (this.#extended) {
      const stated = this.#takeUint32();
      // Zero leaves the count to the length.
      if (stated !== 0 && stated * EXTENT_EXT_BYTES !== this.#payloadLeft) {
        return this.#fail(`a status that states ${stated} extents and has others`);
      }
    }
    command.hasStatus = true;
    this.#statusLeft = command.length;
    this.#step = Step.extents;
    return true;
  }

  #readExtent(): boolean {
    const command = this.#command as InitiatorCommand; // a chunk under way has one
    const length = this.#extended ? this.#takeUint64() : this.#takeUint32();
    // The upper half of 64-bit flags is nobody's yet.
    if (this.#extended) this.#takeUint32();
    const state = this.#takeUint32();
    if (length === 0) return this.#fail("an extent of no bytes");
    // spec: the last extent may go on behind the range; nothing follows it then.
    if (this.#statusLeft <= 0) return this.#fail("an extent outside of the range asked for");
    this.#statusLeft -= length;
    const isZero = (state & AllocationState.zero) !== 0;
    const isHole = (state & AllocationState.hole) !== 0;
    command.extent(length, (isHole ? ExtentFlag.hole : 0) | (isZero ? ExtentFlag.zero : 0));
    return this.#payloadLeft > 0 || this.#endChunk();
  }

  // hot path
  #endChunk(): boolean {
    const command = this.#command as InitiatorCommand; // a chunk under way has one
    this.#step = Step.header;
    this.#command = null;
    return !this.#isLast || this.#endCommand(command);
  }

  // hot path
  #endCommand(command: InitiatorCommand): boolean {
    this.#step = Step.header;
    this.#command = null;
    if (command.error === NbdError.none) {
      const { command: kind } = command;
      if (kind === Command.read && !command.coverage.covers(0, command.length)) {
        return this.#fail("the end of a read before all of its data");
      }
      if (kind === Command.blockStatus && !command.hasStatus) {
        return this.#fail("the end of a block status before any");
      }
    }
    command.isAnswered = true;
    this.#sink.answered(command);
    return true;
  }

  // hot path
  #has(length: number): boolean {
    return this.#window.unread >= length;
  }

  #take(length: number): number {
    const window = this.#window;
    const at = window.buffer.offset + window.start;
    window.start += length;
    this.#payloadLeft -= length;
    return at;
  }

  #takeUint32(): number {
    return this.#window.buffer.slab.view.getUint32(this.#take(4));
  }

  #takeUint64(): number {
    return decodeUint64(this.#window.buffer.slab.view, this.#take(UINT64_BYTES));
  }

  #fail(reason: string): false {
    this.#violation = reason;
    return false;
  }
}
