/**
 * HandshakeTarget: the server's side of fixed newstyle negotiation, without any I/O.
 *
 *   client flags --> option header --> option data --> answer --+--> transmission
 *        |             ^  |    |                        ^  |    +--> aborted
 *        |             |  |    +--> skipping the data --+  |
 *        v             |  v                                v
 *      closed <--------|--+                            listing (one export after the other,
 *                      +---------------------------------+      as the output has room)
 *
 * One per connection, owned by it. It takes the stream in any split, and stops consuming while its
 * output is full: pressure goes back to the socket. Time limits are the connection's.
 *
 * spec: NBD proto.md "Newstyle negotiation", "Fixed newstyle negotiation"
 */

import { assert, unreachable } from "../../util/assert.ts";
import { ByteSink } from "./byte-sink.ts";
import {
  CLIENT_FLAGS_BYTES,
  ClientFlag,
  HANDSHAKE_BYTES_MAX,
  HandshakeFlag,
  INIT_MAGIC_HIGH,
  INIT_MAGIC_LOW,
  OPTION_BYTES_MAX,
  OPTION_COUNT_MAX,
  OPTION_HEADER_BYTES,
  OPTION_MAGIC_HIGH,
  OPTION_MAGIC_LOW,
  OPTION_SKIP_BYTES_MAX,
  Option,
  OptionReply,
  STRING_BYTES_MAX,
} from "./constants.ts";
import type { ExportDescription, ExportDirectory } from "./export-description.ts";
import { BASE_ALLOCATION, checkContexts, type MetaContext } from "./meta-context.ts";
import type { NegotiatedSession, Negotiation } from "./negotiation.ts";
import { handleExportName } from "./option-export-name.ts";
import { handleInfoOrGo } from "./option-go.ts";
import { handleMetaContext } from "./option-meta-context.ts";
import { OptionReader } from "./option-reader.ts";
import { optionName, writeAck, writeError, writeServer } from "./option-reply.ts";

/** Most bytes that wait in `output`. */
export const HANDSHAKE_OUTPUT_BYTES_MAX = 64 * 1024;
/** No single answer is longer (GO with the longest name and description is about 8.3 KiB). */
export const REPLY_ROOM_BYTES = 16 * 1024;
/** Collected data larger than this is not kept from one option to the next. */
const KEPT_BYTES_MAX = 1024;

/** Why we end a connection; stable names for logs and counters. */
export type HandshakeCloseCode =
  | "client-flags-unknown"
  | "option-magic-wrong"
  | "option-not-fixed-newstyle"
  | "option-too-long"
  | "option-count-exceeded"
  | "handshake-too-long"
  | "export-name-refused"
  | "shutting-down";

/** Where a handshake stands. In every case the connection sends `output` first. */
export type HandshakeOutcome =
  /** Waits for more bytes. */
  | { readonly kind: "more" }
  /** Waits for room: send and clear `output`, then feed the rest (nothing, if all is consumed). */
  | { readonly kind: "drain" }
  /** The bytes after the consumed ones belong to the transmission phase. */
  | { readonly kind: "transmission"; readonly session: NegotiatedSession }
  /** The client is done; close once `output` is sent. */
  | { readonly kind: "abort" }
  /** We are done with the client; close once `output` is sent. */
  | { readonly kind: "close"; readonly code: HandshakeCloseCode; readonly message: string };

export interface HandshakeTargetOptions {
  readonly directory: ExportDirectory;
  /** Default: base:allocation alone. */
  readonly metaContexts?: readonly MetaContext[];
}

const Phase = { clientFlags: 0, header: 1, data: 2, skip: 3, list: 4, ended: 5 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

const MORE: HandshakeOutcome = { kind: "more" };
const DRAIN: HandshakeOutcome = { kind: "drain" };
const NO_BYTES = new Uint8Array(0);
const NO_EXPORTS: readonly ExportDescription[] = [];

export class HandshakeTarget {
  /** What to send; the connection clears it once the bytes are sent or copied. */
  readonly output: ByteSink = new ByteSink(HANDSHAKE_OUTPUT_BYTES_MAX);
  readonly #negotiation: Negotiation;
  #phase: Phase = Phase.clientFlags;
  #outcome: HandshakeOutcome = MORE;
  #fixedNewstyle = false;
  #shuttingDown = false;
  /** The unit being collected: `#collected` of `#wanted` bytes are in `#buffer`. */
  #buffer = NO_BYTES;
  #collected = 0;
  #wanted = CLIENT_FLAGS_BYTES;
  #option = 0;
  #optionBytes = 0;
  #skipBytes = 0;
  #optionCount = 0;
  #totalBytes = 0;
  #listed = NO_EXPORTS;
  #listIndex = 0;

  constructor(options: HandshakeTargetOptions) {
    const contexts = options.metaContexts ?? [BASE_ALLOCATION];
    checkContexts(contexts);
    this.#negotiation = {
      directory: options.directory,
      contexts,
      output: this.output,
      noZeroes: false,
      structuredReplies: false,
      extendedHeaders: false,
      selection: null,
    };
  }

  get outcome(): HandshakeOutcome {
    return this.#outcome;
  }

  /** Writes the server's first bytes to `output`; called once, before any `feed`. */
  greet(): void {
    assert(this.output.lengthBytes === 0, "the greeting is the first output");
    this.output.uint32(INIT_MAGIC_HIGH);
    this.output.uint32(INIT_MAGIC_LOW);
    this.output.uint32(OPTION_MAGIC_HIGH);
    this.output.uint32(OPTION_MAGIC_LOW);
    this.output.uint16(HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes);
  }

  /** From now on every option but ABORT is refused. */
  beginShutdown(): void {
    this.#shuttingDown = true;
  }

  /**
   * Takes bytes [offset, offset + length) of the stream and returns how many were consumed; see
   * `outcome` for what comes next. The bytes are copied, never kept. Never throws on a peer's bytes.
   */
  feed(bytes: Uint8Array, offset: number, length: number): number {
    assert(offset >= 0 && length >= 0 && offset + length <= bytes.length, "range within the bytes");
    const end = offset + length;
    let at = offset;
    if (this.#phase !== Phase.ended) this.#outcome = MORE;
    while (this.#phase !== Phase.ended) {
      if (this.output.roomBytes < REPLY_ROOM_BYTES && (at < end || this.#owes())) {
        this.#outcome = DRAIN;
        break;
      }
      if (this.#phase === Phase.list) {
        this.#listOne();
        continue;
      }
      const taken = this.#take(bytes, at, end);
      at += taken;
      if (this.#isComplete()) this.#step();
      else if (at === end) break;
    }
    return at - offset;
  }

  /** True when there is something to say without any further input. */
  #owes(): boolean {
    return this.#phase === Phase.list || this.#isComplete();
  }

  #isComplete(): boolean {
    return this.#phase === Phase.skip ? this.#skipBytes === 0 : this.#collected === this.#wanted;
  }

  /** Collects or skips what it can of the current unit; returns the bytes taken. */
  #take(bytes: Uint8Array, at: number, end: number): number {
    if (this.#phase === Phase.skip) {
      const skipped = Math.min(this.#skipBytes, end - at);
      this.#skipBytes -= skipped;
      return skipped;
    }
    const taken = Math.min(this.#wanted - this.#collected, end - at);
    const filled = this.#collected + taken;
    // Memory is taken as bytes arrive, not as a header promises them.
    if (filled > this.#buffer.length) this.#growBuffer(filled);
    this.#buffer.set(bytes.subarray(at, at + taken), this.#collected);
    this.#collected = filled;
    return taken;
  }

  #growBuffer(filled: number): void {
    const grown = new Uint8Array(Math.max(filled, Math.min(2 * this.#buffer.length, this.#wanted)));
    grown.set(this.#buffer.subarray(0, this.#collected));
    this.#buffer = grown;
  }

  /** Acts on the unit that is complete. */
  #step(): void {
    const phase = this.#phase;
    switch (phase) {
      case Phase.clientFlags:
        this.#onClientFlags();
        break;
      case Phase.header:
        this.#onHeader();
        break;
      case Phase.data:
        this.#onData();
        break;
      case Phase.skip:
        this.#awaitHeader();
        this.#answerUnread();
        break;
      case Phase.list:
      case Phase.ended:
        break;
      default:
        unreachable(phase);
    }
  }

  #await(phase: Phase, wantedBytes: number): void {
    this.#phase = phase;
    this.#collected = 0;
    this.#wanted = wantedBytes;
  }

  #awaitHeader(): void {
    if (this.#buffer.length > KEPT_BYTES_MAX) this.#buffer = NO_BYTES;
    this.#await(Phase.header, OPTION_HEADER_BYTES);
  }

  #onClientFlags(): void {
    const flags = this.#uint32(0);
    // spec: "Client flags": the connection must be dropped on a flag we don't know.
    if ((flags & ~(ClientFlag.fixedNewstyle | ClientFlag.noZeroes)) !== 0) {
      this.#close("client-flags-unknown", `unknown client flags 0x${flags.toString(16)}`);
      return;
    }
    this.#fixedNewstyle = (flags & ClientFlag.fixedNewstyle) !== 0;
    this.#negotiation.noZeroes = (flags & ClientFlag.noZeroes) !== 0;
    this.#totalBytes += CLIENT_FLAGS_BYTES;
    this.#awaitHeader();
  }

  #onHeader(): void {
    if (this.#uint32(0) !== OPTION_MAGIC_HIGH || this.#uint32(4) !== OPTION_MAGIC_LOW) {
      this.#close("option-magic-wrong", "an option does not start with its magic");
      return;
    }
    this.#option = this.#uint32(8);
    this.#optionBytes = this.#uint32(12);
    this.#optionCount++;
    this.#totalBytes += OPTION_HEADER_BYTES + this.#optionBytes;
    if (!this.#headerIsTolerable()) return;
    if (this.#collects() && this.#optionBytes <= OPTION_BYTES_MAX) {
      this.#await(Phase.data, this.#optionBytes);
    } else {
      this.#phase = Phase.skip;
      this.#skipBytes = this.#optionBytes;
    }
  }

  /** Closes on what no error reply can answer, or what costs too much. */
  #headerIsTolerable(): boolean {
    const bytes = this.#optionBytes;
    if (!this.#fixedNewstyle && this.#option !== Option.exportName) {
      const text = `option ${optionName(this.#option)} from a client without fixed newstyle`;
      this.#close("option-not-fixed-newstyle", text);
    } else if (this.#option === Option.exportName && bytes > STRING_BYTES_MAX) {
      this.#close("option-too-long", `an export name of ${bytes} bytes, limit ${STRING_BYTES_MAX}`);
    } else if (bytes > OPTION_SKIP_BYTES_MAX) {
      this.#close("option-too-long", `an option of ${bytes} bytes, limit ${OPTION_SKIP_BYTES_MAX}`);
    } else if (this.#optionCount > OPTION_COUNT_MAX) {
      this.#close("option-count-exceeded", `more than ${OPTION_COUNT_MAX} options`);
    } else if (this.#totalBytes > HANDSHAKE_BYTES_MAX) {
      this.#close("handshake-too-long", `more than ${HANDSHAKE_BYTES_MAX} bytes of handshake`);
    }
    return this.#phase !== Phase.ended;
  }

  /** True for the options whose data we read. */
  #collects(): boolean {
    switch (this.#option) {
      case Option.exportName:
      case Option.info:
      case Option.go:
      case Option.listMetaContext:
      case Option.setMetaContext:
        return true;
      default:
        return false;
    }
  }

  #onData(): void {
    const option = this.#option;
    const data = this.#buffer.subarray(0, this.#collected);
    if (this.#shuttingDown) this.#refuseForShutdown();
    else if (option === Option.exportName) this.#onExportName(data);
    else if (option === Option.info || option === Option.go) {
      this.#enter(handleInfoOrGo(this.#negotiation, option, new OptionReader(data)));
    } else handleMetaContext(this.#negotiation, option, new OptionReader(data));
    if (this.#phase === Phase.data) this.#awaitHeader();
  }

  #onExportName(data: Uint8Array): void {
    const session = handleExportName(this.#negotiation, data);
    if (session !== null) this.#enter(session);
    else {
      const text = "unknown export, or EXPORT_NAME with extended headers: no error can be sent";
      this.#close("export-name-refused", text);
    }
  }

  /** Answers an option whose data (none, useless, or too much) was skipped. */
  #answerUnread(): void {
    const option = this.#option;
    // spec: data sent with ABORT should be ignored.
    if (option === Option.abort) {
      writeAck(this.output, option);
      this.#end({ kind: "abort" });
    } else if (this.#shuttingDown) this.#refuseForShutdown();
    else if (this.#collects()) this.#refuseOversize();
    else if (!isKnownWithoutData(option)) {
      this.#refuse(OptionReply.errUnsup, `option ${optionName(option)} is not supported`);
    } else if (this.#optionBytes > 0) {
      const text = `option ${optionName(option)} takes no data, ${this.#optionBytes} bytes sent`;
      this.#refuse(OptionReply.errInvalid, text);
    } else this.#answerPlain();
  }

  #answerPlain(): void {
    const negotiation = this.#negotiation;
    const option = this.#option;
    if (option === Option.list) {
      this.#listed = negotiation.directory.list();
      this.#listIndex = 0;
      this.#phase = Phase.list;
    } else if (option === Option.startTls) {
      this.#refuse(OptionReply.errUnsup, "this server has no TLS");
    } else if (option === Option.structuredReply && negotiation.extendedHeaders) {
      // spec: extended headers take precedence and there is no way back.
      this.#refuse(OptionReply.errExtHeaderReqd, "extended headers are already negotiated");
    } else {
      negotiation.structuredReplies = true;
      if (option === Option.extendedHeaders) negotiation.extendedHeaders = true;
      writeAck(this.output, option);
    }
  }

  #listOne(): void {
    const exported = this.#listed[this.#listIndex++];
    if (exported !== undefined) {
      writeServer(this.output, exported);
      return;
    }
    writeAck(this.output, Option.list);
    this.#listed = NO_EXPORTS;
    this.#awaitHeader();
  }

  #refuseOversize(): void {
    // spec: a SET_META_CONTEXT that fails still drops what was selected before.
    if (this.#option === Option.setMetaContext) this.#negotiation.selection = null;
    const text = `${this.#optionBytes} bytes of data, limit ${OPTION_BYTES_MAX}`;
    this.#refuse(OptionReply.errTooBig, text);
  }

  #refuseForShutdown(): void {
    const text = "the server is shutting down";
    if (this.#option === Option.exportName) this.#close("shutting-down", text);
    else this.#refuse(OptionReply.errShutdown, text);
  }

  #refuse(type: OptionReply, text: string): void {
    writeError(this.output, this.#option, type, text);
  }

  #enter(session: NegotiatedSession | null): void {
    if (session !== null) this.#end({ kind: "transmission", session });
  }

  #close(code: HandshakeCloseCode, message: string): void {
    this.#end({ kind: "close", code, message });
  }

  #end(outcome: HandshakeOutcome): void {
    this.#phase = Phase.ended;
    this.#outcome = outcome;
    this.#buffer = NO_BYTES;
  }

  #uint32(at: number): number {
    const buffer = this.#buffer;
    return new DataView(buffer.buffer, buffer.byteOffset, buffer.length).getUint32(at);
  }
}

/** Options that we answer and that carry no data. */
function isKnownWithoutData(option: number): boolean {
  return (
    option === Option.list ||
    option === Option.startTls ||
    option === Option.structuredReply ||
    option === Option.extendedHeaders
  );
}
