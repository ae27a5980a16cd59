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
import { handlePlain, refuseData } from "./option-plain.ts";
import { optionName, writeAck, writeError, writeServer } from "./option-reply.ts";
import { UnitCollector } from "./unit-collector.ts";

/** Most bytes that wait in `output`. */
export const HANDSHAKE_OUTPUT_BYTES_MAX = 64 * 1024;
/** No single answer is longer (GO with the longest name and description is about 8.3 KiB). */
export const REPLY_ROOM_BYTES = 16 * 1024;

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
const NO_EXPORTS: readonly ExportDescription[] = [];

export class HandshakeTarget {
  /** What to send; the connection clears it once the bytes are sent or copied. */
  readonly output: ByteSink = new ByteSink(HANDSHAKE_OUTPUT_BYTES_MAX);
  readonly #negotiation: Negotiation;
  #phase: Phase = Phase.clientFlags;
  #outcome: HandshakeOutcome = MORE;
  #fixedNewstyle = false;
  #shuttingDown = false;
  readonly #unit = new UnitCollector();
  #option = 0;
  #optionBytes = 0;
  #optionCount = 0;
  #totalBytes = 0;
  #listed = NO_EXPORTS;
  #listIndex = 0;

  constructor(options: HandshakeTargetOptions) {
    const contexts = options.metaContexts ?? [BASE_ALLOCATION];
    checkContexts(contexts);
    this.#unit.collect(CLIENT_FLAGS_BYTES);
    this.#negotiation = {
      directory: options.directory,
      contexts,
      output: this.output,
      noZeroes: false,
      structuredReplies: false,
      extendedHeaders: false,
      selection: null,
      association: null,
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
   * `outcome` for what comes next. The bytes are copied, never kept. No peer's bytes make it throw.
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
      at += this.#unit.take(bytes, at, end);
      if (this.#unit.isComplete) this.#step();
      else if (at === end) break;
    }
    return at - offset;
  }

  /** True when there is something to say without any further input. */
  #owes(): boolean {
    return this.#phase === Phase.list || this.#unit.isComplete;
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

  #awaitHeader(): void {
    this.#phase = Phase.header;
    this.#unit.collect(OPTION_HEADER_BYTES);
  }

  #onClientFlags(): void {
    const flags = this.#unit.uint32(0);
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
    if (this.#unit.uint32(0) !== OPTION_MAGIC_HIGH || this.#unit.uint32(4) !== OPTION_MAGIC_LOW) {
      this.#close("option-magic-wrong", "an option does not start with its magic");
      return;
    }
    this.#option = this.#unit.uint32(8);
    this.#optionBytes = this.#unit.uint32(12);
    this.#optionCount++;
    this.#totalBytes += OPTION_HEADER_BYTES + this.#optionBytes;
    if (!this.#headerIsTolerable()) return;
    if (this.#collects() && this.#optionBytes <= OPTION_BYTES_MAX) {
      this.#phase = Phase.data;
      this.#unit.collect(this.#optionBytes);
    } else {
      this.#phase = Phase.skip;
      this.#unit.skip(this.#optionBytes);
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
    const data = this.#unit.bytes;
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
    else if (option === Option.list) this.#onList();
    else handlePlain(this.#negotiation, option, this.#optionBytes);
  }

  #onList(): void {
    if (this.#optionBytes > 0) {
      refuseData(this.#negotiation, Option.list, this.#optionBytes);
      return;
    }
    this.#listed = this.#negotiation.directory.list();
    this.#listIndex = 0;
    this.#phase = Phase.list;
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
    this.#unit.release();
  }
}
