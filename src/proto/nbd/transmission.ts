/**
 * Transmission: the phase in which a client sends commands: reads them from the receive window and
 * has the runner start them.
 *
 *   header --valid--> memory there? --yes--> started --> completed --> reply posted --> sent
 *     |                  +--no--> stays unread in the window: no more is received (back-pressure)
 *     +--refused--> error reply (a write's payload is skipped first)
 *
 * Owned by one connection. In flight: up to COMMANDS_IN_FLIGHT_MAX commands.
 * spec: NBD proto.md "Transmission phase"
 */

import { TRANSFER_BYTES_MAX } from "../../block/device.ts";
import type { NbdCommand } from "./command.ts";
import { COMMANDS_IN_FLIGHT_MAX, type CommandPool } from "./command-pool.ts";
import type { CommandRunner, RunnerParts, TransmissionLink } from "./command-runner.ts";
import { Command, CommandFlag, NbdError, PAYLOAD_BYTES_MAX } from "./constants.ts";
import type { NbdExport } from "./export.ts";
import type { NegotiatedSession } from "./negotiation.ts";
import type { Payload } from "../stream/payload.ts";
import { decodeRequest, RequestHeader, requestHeaderBytes } from "./pdu-request.ts";
import type { ReceiveWindow } from "../stream/receive-window.ts";

/** A read with DF up to this long is never too long to be answered in one piece. */
const WHOLE_BYTES_MIN = 64 * 1024;

/** A payload up to this long is used where it was received, not given a buffer of its own. */
const IN_PLACE_BYTES_MAX = 16 * 1024;

/**
 * Flags that mean something with each command; others are refused. FUA is allowed with all, DF
 * and PAYLOAD_LEN where they have been negotiated.
 */
function flagsByCommand(session: NegotiatedSession): readonly number[] {
  const { fua, noHole, fastZero, reqOne } = CommandFlag;
  const df = session.structuredReplies ? CommandFlag.df : 0;
  const payloadLen = session.extendedHeaders ? CommandFlag.payloadLen : 0;
  return [fua | df, fua | payloadLen, 0, fua, fua, fua, fua | noHole | fastZero, fua | reqOne];
}

/** What the parser wants before it can go on. */
export const Want = {
  /** More bytes: `neededBytes` from the window's start on. */
  bytes: 0,
  /** Memory, or the end of a command in flight: receive nothing. */
  room: 1,
  /** Nothing: the client is done, or broke the protocol. */
  nothing: 2,
} as const;
export type Want = (typeof Want)[keyof typeof Want];

export class Transmission {
  /** With `Want.bytes`: this many bytes from the window's start are needed in all. */
  neededBytes: number;
  /** Commands begun so far. */
  commandCount = 0;
  readonly #link: TransmissionLink;
  readonly #window: ReceiveWindow;
  readonly #runner: CommandRunner;
  readonly #commands: CommandPool;
  readonly #payload: Payload<NbdCommand>;
  readonly #exported: NbdExport;
  readonly #sizeBytes: number;
  readonly #blockMask: number;
  readonly #readOnly: boolean;
  readonly #extended: boolean;
  readonly #hasStatus: boolean;
  readonly #headerBytes: number;
  readonly #flagsByCommand: readonly number[];
  readonly #header = new RequestHeader();
  /** Payload bytes of a refused command that are still to be skipped. */
  #skipBytes = 0;
  #skipped: NbdCommand | null = null;
  #skippedError = 0;
  #nowMs = 0;
  #done = false;
  /** There is no memory for a larger window: the next write gets a buffer of its own. */
  #ownBuffer = false;

  constructor(parts: RunnerParts, runner: CommandRunner) {
    this.#link = parts.link;
    this.#window = parts.link.window;
    this.#runner = runner;
    this.#commands = parts.commands;
    this.#payload = parts.payload;
    this.#exported = parts.exported;
    const { session } = parts;
    this.#sizeBytes = session.export.sizeBytes;
    this.#blockMask = parts.exported.device.info.blockSizeBytes - 1;
    this.#readOnly = session.export.readOnly;
    this.#extended = session.extendedHeaders;
    this.#flagsByCommand = flagsByCommand(session);
    this.#hasStatus = session.metaContexts.length > 0;
    this.#headerBytes = requestHeaderBytes(session.extendedHeaders);
    this.neededBytes = this.#headerBytes;
  }

  /** Starts every command that is there and for which there is room. Hot path. */
  parse(nowMs: number): Want {
    this.#nowMs = nowMs;
    for (;;) {
      if (this.#done) return Want.nothing;
      const want = this.#payload.isUnderWay ? this.#payloadWant() : this.#next();
      if (want !== null) return want;
    }
  }

  /**
   * The window cannot become large enough for the write that waits in it: gives that write a
   * buffer of its own, which the reserve may have. @returns false when that was tried already
   */
  useOwnBuffer(): boolean {
    if (this.#ownBuffer) return false;
    this.#ownBuffer = true;
    return true;
  }

  /** No command is read any more; a refused one that waits for its payload is forgotten. */
  stop(): void {
    this.#done = true;
    const skipped = this.#skipped;
    this.#skipped = null;
    if (skipped !== null) this.#commands.give(skipped);
  }

  /** One step outside of a payload: null when there may be more to do at once. Hot path. */
  #next(): Want | null {
    const window = this.#window;
    if (this.#runner.longWrite !== null) return this.#nextPart();
    if (this.#skipBytes > 0 || this.#skipped !== null) return this.#skip();
    if (window.unread < this.#headerBytes) {
      this.neededBytes = this.#headerBytes;
      return Want.bytes;
    }
    if (this.#commands.inFlight >= COMMANDS_IN_FLIGHT_MAX) return Want.room;
    const header = this.#header;
    const { slab, offset } = window.buffer;
    if (!decodeRequest(slab.view, offset + window.start, this.#extended, header)) {
      this.#fail("a request does not start with the request magic");
      return Want.nothing;
    }
    return this.#dispatch(header);
  }

  // hot path
  #dispatch(header: RequestHeader): Want | null {
    switch (header.command) {
      case Command.read:
        return this.#read(header);
      case Command.write:
        return this.#write(header);
      case Command.disconnect:
        this.#done = true;
        this.#window.start += this.#headerBytes;
        this.#link.disconnect();
        return Want.nothing;
      case Command.blockStatus:
        return this.#blockStatus(header);
      default:
        return this.#other(header);
    }
  }

  // hot path
  #read(header: RequestHeader): Want | null {
    const { length } = header;
    const error = this.#refusal(header);
    if (error !== NbdError.none) return this.#refuse(header, error, this.#payloadOf(header));
    const aligned = ((header.offsetLow | length) & this.#blockMask) === 0;
    if (aligned && length <= TRANSFER_BYTES_MAX) {
      const command = this.#begin(header);
      if (this.#runner.read(command)) return this.#took();
      this.#commands.give(command);
      // Holding something: wait for it to come back. Holding nothing: read in smaller parts.
      if (this.#commands.memory.heldBytes > 0 || length <= this.#commands.memory.allowance())
        return Want.room;
    }
    if ((header.flags & CommandFlag.df) !== 0) return this.#readWhole(header);
    if (length > PAYLOAD_BYTES_MAX) return this.#refuse(header, NbdError.einval);
    if (!this.#runner.canStartLongRead) return Want.room;
    const command = this.#begin(header);
    this.#took();
    this.#runner.longRead(command);
    return null;
  }

  /**
   * "Don't fragment": in one part, hull and all. More than clients may count on is refused where
   * waiting for memory might not end.
   * spec: NBD proto.md "Error values", NBD_EOVERFLOW
   */
  #readWhole(header: RequestHeader): Want | null {
    const { length } = header;
    if (length > TRANSFER_BYTES_MAX / 2) return this.#refuse(header, NbdError.eoverflow);
    const command = this.#begin(header);
    if (this.#runner.readWhole(command)) return this.#took();
    this.#commands.give(command);
    if (this.#commands.memory.heldBytes > 0 || length <= WHOLE_BYTES_MIN) return Want.room;
    return this.#refuse(header, NbdError.eoverflow);
  }

  /** The payload follows: in the window already, or to be received. Hot path. */
  #write(header: RequestHeader): Want | null {
    const { length } = header;
    if (length > PAYLOAD_BYTES_MAX) {
      this.#fail(`a write of ${length} bytes: at most ${PAYLOAD_BYTES_MAX} are allowed`);
      return Want.nothing;
    }
    const error = this.#refusal(header);
    if (error !== NbdError.none) return this.#refuse(header, error, length);
    const aligned = ((header.offsetLow | length) & this.#blockMask) === 0;
    if (!aligned || length > TRANSFER_BYTES_MAX) return this.#writeInParts(header);
    const window = this.#window;
    const available = window.unread - this.#headerBytes;
    if (available >= length) return this.#writeInPlace(header);
    if (length <= IN_PLACE_BYTES_MAX && !this.#ownBuffer) {
      this.neededBytes = this.#headerBytes + length;
      return Want.bytes;
    }
    const buffer = this.#commands.memory.acquire(length);
    if (buffer === null) {
      if (this.#commands.memory.heldBytes > 0 || length <= this.#commands.memory.allowance())
        return Want.room;
      return this.#writeInParts(header);
    }
    const command = this.#begin(header);
    command.buffer = buffer;
    this.#ownBuffer = false;
    this.#took();
    this.#payload.begin(window, { command, buffer, offset: 0, wantedBytes: length });
    window.shrink();
    return null;
  }

  #writeInParts(header: RequestHeader): null {
    const command = this.#begin(header);
    this.#ownBuffer = false;
    this.#took();
    this.#runner.startLongWrite(command);
    return null;
  }

  // hot path
  #writeInPlace(header: RequestHeader): null {
    const window = this.#window;
    const { buffer } = window;
    const command = this.#begin(header);
    const at = buffer.offset + window.start + this.#headerBytes;
    buffer.retain();
    command.payloadIn = buffer;
    command.segments.push(buffer.slab.id, at, header.length);
    this.#took();
    window.start += header.length;
    this.#runner.write(command);
    return null;
  }

  #blockStatus(header: RequestHeader): Want | null {
    // The payload form, which picks contexts for one request, is not offered.
    const error = this.#hasStatus ? this.#refusal(header) : NbdError.einval;
    if (error !== NbdError.none) return this.#refuse(header, error, this.#payloadOf(header));
    const command = this.#begin(header);
    if (this.#runner.blockStatus(command)) return this.#took();
    this.#commands.give(command);
    return Want.room;
  }

  /** Commands without payload and without memory of their own. */
  #other(header: RequestHeader): Want | null {
    const error = this.#refusal(header);
    if (error !== NbdError.none) return this.#refuse(header, error, this.#payloadOf(header));
    const command = this.#begin(header);
    this.#took();
    if (header.command === Command.flush) this.#runner.flush(command);
    else if (header.command === Command.trim) this.#runner.trim(command);
    else if (header.command === Command.writeZeroes) this.#runner.writeZeroes(command);
    else if (header.command === Command.cache) this.#runner.cache(command);
    else this.#runner.refuse(command, NbdError.einval);
    return null;
  }

  /** The error that a command with a range gets before anything is done. Hot path. */
  #refusal(header: RequestHeader): number {
    const { command, length } = header;
    const allowed = this.#flagsByCommand[command] ?? 0;
    if ((header.flags & ~allowed) !== 0) return NbdError.einval;
    const changes =
      command === Command.write || command === Command.trim || command === Command.writeZeroes;
    if (changes && this.#readOnly) return NbdError.eperm;
    // A flush has no range: whatever stands in its fields means nothing.
    if (command === Command.flush) return NbdError.none;
    if (length === 0) return NbdError.einval;
    if (!header.tooBig && header.offset + length <= this.#sizeBytes) return NbdError.none;
    const grows = command === Command.write || command === Command.writeZeroes;
    return grows ? NbdError.enospc : NbdError.einval;
  }

  /** Answers with `error`, once `payloadBytes` that follow the header have been skipped. */
  #refuse(header: RequestHeader, error: number, payloadBytes = 0): Want | null {
    const command = this.#begin(header);
    this.#window.start += this.#headerBytes;
    this.#exported.stats.errors++;
    if (payloadBytes === 0) {
      this.#runner.refuse(command, error);
      return null;
    }
    this.#skipBytes = payloadBytes;
    this.#skipped = command;
    this.#skippedError = error;
    return null;
  }

  #skip(): Want | null {
    const window = this.#window;
    const skipped = Math.min(window.unread, this.#skipBytes);
    window.start += skipped;
    this.#skipBytes -= skipped;
    if (this.#skipBytes > 0) {
      this.neededBytes = 1;
      return Want.bytes;
    }
    const command = this.#skipped;
    this.#skipped = null;
    if (command !== null) this.#runner.refuse(command, this.#skippedError);
    return null;
  }

  /**
   * Bytes of a payload that a refused command brings although it should not. One that is too long
   * to skip ends the stream.
   */
  #payloadOf(header: RequestHeader): number {
    if (!this.#extended || (header.flags & CommandFlag.payloadLen) === 0) return 0;
    if (header.length <= PAYLOAD_BYTES_MAX) return header.length;
    this.#fail("a payload is too long to be skipped");
    return 0;
  }

  /** The payload under way: complete, or waiting for bytes. */
  #payloadWant(): Want | null {
    if (!this.#payload.isComplete) {
      this.neededBytes = 1;
      return Want.bytes;
    }
    const command = this.#payload.end();
    const write = this.#runner.longWrite;
    if (write !== null) {
      if (write.isReceived) this.#runner.longWrite = null;
      write.partReceived(command);
      return null;
    }
    const { buffer } = command;
    if (buffer !== null) command.segments.push(buffer.slab.id, buffer.offset, command.wireLength);
    this.#runner.write(command);
    return null;
  }

  #nextPart(): Want | null {
    return this.#runner.longWrite?.receiveNext() === false ? Want.room : null;
  }

  /** A command with the header's fields. Hot path. */
  #begin(header: RequestHeader): NbdCommand {
    const command = this.#commands.take();
    this.commandCount++;
    command.command = header.command;
    command.commandFlags = header.flags;
    command.cookieHigh = header.cookieHigh;
    command.cookieLow = header.cookieLow;
    command.wireOffsetHigh = header.offsetHigh;
    command.wireOffsetLow = header.offsetLow;
    command.wireOffset = header.offset;
    command.wireLength = header.length;
    command.startMs = this.#nowMs;
    return command;
  }

  /** The header is consumed; counts the command. Hot path. */
  #took(): null {
    this.#window.start += this.#headerBytes;
    const { command, length } = this.#header;
    const { stats } = this.#exported;
    if (command === Command.read) {
      stats.reads++;
      stats.readBytes += length;
    } else if (command === Command.write) {
      stats.writes++;
      stats.writeBytes += length;
    } else {
      stats.others++;
    }
    return null;
  }

  #fail(reason: string): void {
    this.#done = true;
    this.#link.fail(reason);
  }
}
