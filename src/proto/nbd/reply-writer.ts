/**
 * ReplyWriter: writes one command's reply into a send bank, in the form the client negotiated.
 *
 * Structured reads skip zeroes: data that is all zero is answered as a hole, which saves sending
 * it (a comparison with zeroes stops at the first other byte, so real data costs next to nothing).
 */

import type { Io } from "../../reactor/io.ts";
import type { SegmentList } from "../../block/segments.ts";
import { STATUS_TRAITS } from "../../block/status.ts";
import { type NbdCommand, ReplyKind } from "./command.ts";
import { ChunkFlag, ChunkType, CommandFlag } from "./constants.ts";
import {
  chunkHeaderBytes,
  encodeError,
  encodeExtendedChunk,
  encodeOffsetData,
  encodeOffsetHole,
  encodeSimpleReply,
  encodeStructuredChunk,
  ERROR_BYTES,
  OFFSET_DATA_BYTES,
  OFFSET_HOLE_BYTES,
} from "./pdu-reply.ts";
import type { SendBank } from "../stream/send-bank.ts";

/** Unit in which reads look for zeroes, and the least read that does. */
export const HOLE_GRAIN_BYTES = 64 * 1024;

const ZEROES = Buffer.alloc(HOLE_GRAIN_BYTES);

/** The words that go with an error, by status. */
const MESSAGE_BY_STATUS = STATUS_TRAITS.map((traits) => new TextEncoder().encode(traits.name));

export interface ReplyForm {
  readonly structuredReplies: boolean;
  readonly extendedHeaders: boolean;
}

export class ReplyWriter {
  readonly #io: Io;
  readonly #structured: boolean;
  readonly #extended: boolean;

  constructor(io: Io, form: ReplyForm) {
    this.#io = io;
    this.#structured = form.structuredReplies || form.extendedHeaders;
    this.#extended = form.extendedHeaders;
  }

  /** Writes the reply; the bank has room for one (`SendBank.hasRoom`). Hot path. */
  write(bank: SendBank<NbdCommand>, command: NbdCommand): void {
    switch (command.reply) {
      case ReplyKind.data:
        if (this.#structured) this.#writeChunks(bank, command);
        else this.#writeSimpleData(bank, command);
        return;
      case ReplyKind.prepared:
        this.#writePrepared(bank, command);
        return;
      default:
        this.#writePlain(bank, command);
    }
  }

  /** Success without data, or an error. Hot path. */
  #writePlain(bank: SendBank<NbdCommand>, command: NbdCommand): void {
    const { view, used } = bank;
    const error = command.reply === ReplyKind.error ? command.error : 0;
    if (!this.#structured) {
      const length = encodeSimpleReply(view, used, error, command.cookieHigh, command.cookieLow);
      bank.pushHeader(length);
      return;
    }
    if (error === 0) {
      bank.pushHeader(this.#chunk(bank, command, ChunkFlag.done, ChunkType.none, 0));
      return;
    }
    const words = MESSAGE_BY_STATUS[command.status];
    const payload = ERROR_BYTES + (words?.length ?? 0);
    const length = this.#chunk(bank, command, ChunkFlag.done, ChunkType.error, payload);
    bank.pushHeader(length + encodeError(view, used + length, error, words));
  }

  /** Header, then data; the further parts of a long read are data alone. Hot path. */
  #writeSimpleData(bank: SendBank<NbdCommand>, command: NbdCommand): void {
    if (command.isFirst) {
      const { view, used } = bank;
      bank.pushHeader(encodeSimpleReply(view, used, 0, command.cookieHigh, command.cookieLow));
    }
    const start = command.wireOffset - command.offset;
    bank.pushData(this.#io, command.segments, start, command.wireLength);
  }

  // hot path
  #writeChunks(bank: SendBank<NbdCommand>, command: NbdCommand): void {
    const { segments, wireLength } = command;
    const first = command.wireOffset - command.offset;
    const whole = wireLength < HOLE_GRAIN_BYTES || (command.commandFlags & CommandFlag.df) !== 0;
    if (whole) {
      this.#writeData(bank, command, first, wireLength, command.isLast);
      return;
    }
    let runStart = 0;
    let runZero = this.#isZero(segments, first, Math.min(HOLE_GRAIN_BYTES, wireLength));
    for (let at = HOLE_GRAIN_BYTES; at < wireLength; at += HOLE_GRAIN_BYTES) {
      const length = Math.min(HOLE_GRAIN_BYTES, wireLength - at);
      const zero = this.#isZero(segments, first + at, length);
      if (zero === runZero) continue;
      this.#writeRun(bank, command, runStart, at, runZero, false);
      runStart = at;
      runZero = zero;
    }
    this.#writeRun(bank, command, runStart, wireLength, runZero, command.isLast);
  }

  /** Bytes [start, end) of what the client asked for, as one chunk. */
  #writeRun(
    bank: SendBank<NbdCommand>,
    command: NbdCommand,
    start: number,
    end: number,
    zero: boolean,
    done: boolean,
  ): void {
    const first = command.wireOffset - command.offset;
    if (!zero) {
      this.#writeData(bank, command, first + start, end - start, done);
      return;
    }
    const flags = done ? ChunkFlag.done : 0;
    const { view, used } = bank;
    const length = this.#chunk(bank, command, flags, ChunkType.offsetHole, OFFSET_HOLE_BYTES);
    encodeOffsetHole(view, used + length, command.wireOffset + start, end - start);
    bank.pushHeader(length + OFFSET_HOLE_BYTES);
  }

  /** `start` is counted in the command's segments. Hot path. */
  #writeData(
    bank: SendBank<NbdCommand>,
    command: NbdCommand,
    start: number,
    bytes: number,
    done: boolean,
  ): void {
    const flags = done ? ChunkFlag.done : 0;
    const { view, used } = bank;
    const payload = OFFSET_DATA_BYTES + bytes;
    const length = this.#chunk(bank, command, flags, ChunkType.offsetData, payload);
    encodeOffsetData(view, used + length, command.offset + start);
    bank.pushHeader(length + OFFSET_DATA_BYTES);
    bank.pushData(this.#io, command.segments, start, bytes);
  }

  #writePrepared(bank: SendBank<NbdCommand>, command: NbdCommand): void {
    const { buffer, preparedBytes } = command;
    const type = this.#extended ? ChunkType.blockStatusExt : ChunkType.blockStatus;
    bank.pushHeader(this.#chunk(bank, command, ChunkFlag.done, type, preparedBytes));
    if (buffer !== null) bank.vector.push(buffer.slab, buffer.offset, preparedBytes);
  }

  /** Writes a chunk's header at the bank's end; returns its length. Hot path. */
  #chunk(
    bank: SendBank<NbdCommand>,
    command: NbdCommand,
    flags: number,
    type: number,
    payload: number,
  ): number {
    const { view, used } = bank;
    const { cookieHigh, cookieLow } = command;
    if (!this.#extended) {
      return encodeStructuredChunk(view, used, flags, type, cookieHigh, cookieLow, payload);
    }
    const { wireOffsetHigh, wireOffsetLow } = command;
    encodeExtendedChunk(
      view,
      used,
      flags,
      type,
      cookieHigh,
      cookieLow,
      wireOffsetHigh,
      wireOffsetLow,
      payload,
    );
    return chunkHeaderBytes(true);
  }

  #isZero(segments: SegmentList, start: number, length: number): boolean {
    let skip = start;
    let left = length;
    for (let index = 0; left > 0; index++) {
      const available = segments.length(index) - skip;
      if (available <= 0) {
        skip = -available;
        continue;
      }
      const taken = Math.min(available, left);
      const bytes = this.#io.slabs.get(segments.slabId(index)).bytes;
      const at = segments.offset(index) + skip;
      if (ZEROES.compare(bytes, at, at + taken, 0, taken) !== 0) return false;
      skip = 0;
      left -= taken;
    }
    return true;
  }
}
