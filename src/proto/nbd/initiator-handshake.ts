/**
 * InitiatorHandshake: the client's side of newstyle negotiation, without any I/O.
 *
 *   greeting --> EXTENDED_HEADERS --no--> STRUCTURED_REPLY --no--------------+
 *      |              +------------------------+--> LIST, SET_META_CONTEXT --+--> GO --> ready
 *      +--not fixed newstyle--------> EXPORT_NAME <---------"unsupported"--------+
 *                                        +--> ready        any refusal --> failed
 *
 * One per connection, owned by it. It takes the stream in any split and trusts nothing in it: what
 * breaks the protocol, or goes on beyond a limit, fails. Time limits are the connection's.
 *
 * spec: NBD proto.md "Newstyle negotiation", "Fixed newstyle negotiation"
 */

import { assert, unreachable } from "../../util/assert.ts";
import { ByteSink, utf8 } from "./byte-sink.ts";
import {
  ClientFlag,
  EXPORT_NAME_ZEROES_BYTES,
  HandshakeFlag,
  INIT_MAGIC_HIGH,
  INIT_MAGIC_LOW,
  InfoType,
  MAXIMUM_BLOCK_UNLIMITED,
  META_CONTEXT_COUNT_MAX,
  MINIMUM_BLOCK_BYTES_MAX,
  OPTION_BYTES_MAX,
  OPTION_MAGIC_HIGH,
  OPTION_MAGIC_LOW,
  OPTION_REPLY_HEADER_BYTES,
  OPTION_REPLY_MAGIC_HIGH,
  OPTION_REPLY_MAGIC_LOW,
  Option,
  OptionReply,
  PREFERRED_BLOCK_BYTES_MIN,
  TransmissionFlag,
} from "./constants.ts";
import {
  DEFAULT_BLOCK_SIZES,
  type InitiatorRequest,
  type InitiatorSession,
} from "./initiator-session.ts";
import { BASE_ALLOCATION } from "./meta-context.ts";
import { decodeString, OptionReader } from "./option-reader.ts";
import { quote } from "./option-reply.ts";
import { CACHE_QUERY, hostQuery, INSTANCE_QUERY, readPrivateAnswers } from "./private-context.ts";
import { UnitCollector } from "./unit-collector.ts";

/** Why a handshake failed; stable names. Only `server-stopping` is worth another try. */
export type InitiatorFailure =
  | "not-nbd"
  | "protocol-error"
  | "export-unknown"
  | "export-refused"
  | "tls-required"
  | "server-stopping";

/** Where a handshake stands. In every case the connection sends `output` first. */
export type InitiatorOutcome =
  | { readonly kind: "more" }
  /** The bytes after the consumed ones are replies. */
  | { readonly kind: "ready"; readonly session: InitiatorSession }
  | { readonly kind: "failed"; readonly code: InitiatorFailure; readonly message: string };

const Phase = { greeting: 0, replyHeader: 1, replyData: 2, exportName: 3, ended: 4 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

/** Two magics and the handshake flags. */
const GREETING_BYTES = 18;
/** u64 size, u16 flags; zeroes may follow. */
const EXPORT_NAME_REPLY_BYTES = 10;
/** More than any option of ours has to be answered with. */
const REPLIES_PER_OPTION_MAX = 64;
const OUTPUT_BYTES_MAX = 16 * 1024;
const WORD = 4_294_967_296;
const MORE: InitiatorOutcome = { kind: "more" };

export class InitiatorHandshake {
  /** What to send; the connection clears it once the bytes are sent or copied. */
  readonly output: ByteSink = new ByteSink(OUTPUT_BYTES_MAX);
  readonly #request: InitiatorRequest;
  readonly #name: Uint8Array;
  readonly #unit = new UnitCollector();
  #phase: Phase = Phase.greeting;
  #outcome: InitiatorOutcome = MORE;
  #noZeroes = false;
  #option: number = 0;
  #replyType = 0;
  #replyCount = 0;
  #structured = false;
  #extended = false;
  /** Names that LIST_META_CONTEXT has answered. */
  #listed: string[] = [];
  #allocationContext: number | null = null;
  #size: { readonly sizeBytes: number; readonly flags: number } | null = null;
  #blockSizes: BlockSizes = DEFAULT_BLOCK_SIZES;

  constructor(request: InitiatorRequest) {
    this.#request = request;
    this.#name = utf8(request.exportName);
    assert(decodeString(this.#name) !== null, "an export's name was checked by the caller");
    this.#unit.collect(GREETING_BYTES);
  }

  get outcome(): InitiatorOutcome {
    return this.#outcome;
  }

  /**
   * Takes bytes [offset, offset + length) of the stream and returns how many were consumed, all of
   * them unless the handshake has ended. They are copied, never kept. Nothing makes it throw.
   */
  feed(bytes: Uint8Array, offset: number, length: number): number {
    assert(offset >= 0 && length >= 0 && offset + length <= bytes.length, "range within the bytes");
    const end = offset + length;
    let at = offset;
    while (this.#phase !== Phase.ended) {
      at += this.#unit.take(bytes, at, end);
      if (!this.#unit.isComplete) break;
      this.#step();
    }
    return at - offset;
  }

  #step(): void {
    const phase = this.#phase;
    switch (phase) {
      case Phase.greeting:
        this.#onGreeting();
        break;
      case Phase.replyHeader:
        this.#onReplyHeader();
        break;
      case Phase.replyData:
        this.#onReply(this.#unit.bytes);
        break;
      case Phase.exportName:
        this.#onExportName();
        break;
      case Phase.ended:
        break;
      default:
        unreachable(phase);
    }
  }

  #onGreeting(): void {
    const unit = this.#unit;
    if (unit.uint32(0) !== INIT_MAGIC_HIGH || unit.uint32(4) !== INIT_MAGIC_LOW) {
      this.#fail("not-nbd", "the server does not begin as an NBD server does");
      return;
    }
    if (unit.uint32(8) !== OPTION_MAGIC_HIGH || unit.uint32(12) !== OPTION_MAGIC_LOW) {
      this.#fail("not-nbd", "the server is no NBD server, or one of the old style (before 2.9.17)");
      return;
    }
    const flags = unit.uint32(14) & 0xffff;
    const isFixed = (flags & HandshakeFlag.fixedNewstyle) !== 0;
    this.#noZeroes = (flags & HandshakeFlag.noZeroes) !== 0;
    let answer = 0;
    if (isFixed) answer |= ClientFlag.fixedNewstyle;
    if (this.#noZeroes) answer |= ClientFlag.noZeroes;
    this.output.uint32(answer);
    if (isFixed) this.#ask(Option.extendedHeaders, 0);
    else this.#askByName();
  }

  /** Writes an option's header; its data of `lengthBytes` follows. */
  #ask(option: number, lengthBytes: number): void {
    this.#option = option;
    this.#replyCount = 0;
    this.output.uint32(OPTION_MAGIC_HIGH);
    this.output.uint32(OPTION_MAGIC_LOW);
    this.output.uint32(option);
    this.output.uint32(lengthBytes);
    this.#awaitReply();
  }

  #askByName(): void {
    this.#ask(Option.exportName, this.#name.length);
    this.output.append(this.#name);
    this.#phase = Phase.exportName;
    const zeroes = this.#noZeroes ? 0 : EXPORT_NAME_ZEROES_BYTES;
    this.#unit.collect(EXPORT_NAME_REPLY_BYTES + zeroes);
  }

  #askContexts(option: number, queries: readonly string[]): void {
    const encoded = queries.map(utf8);
    const queryBytes = encoded.reduce((sum, { length }) => sum + 4 + length, 0);
    this.#ask(option, 8 + this.#name.length + queryBytes);
    this.output.uint32(this.#name.length);
    this.output.append(this.#name);
    this.output.uint32(encoded.length);
    for (const query of encoded) {
      this.output.uint32(query.length);
      this.output.append(query);
    }
  }

  #askGo(): void {
    this.#ask(Option.go, 4 + this.#name.length + 4);
    this.output.uint32(this.#name.length);
    this.output.append(this.#name);
    this.output.uint16(1);
    this.output.uint16(InfoType.blockSize);
  }

  #awaitReply(): void {
    this.#phase = Phase.replyHeader;
    this.#unit.collect(OPTION_REPLY_HEADER_BYTES);
  }

  #onReplyHeader(): void {
    const unit = this.#unit;
    if (
      unit.uint32(0) !== OPTION_REPLY_MAGIC_HIGH ||
      unit.uint32(4) !== OPTION_REPLY_MAGIC_LOW ||
      unit.uint32(8) !== this.#option
    ) {
      this.#fail("protocol-error", "what should be the reply to an option is none");
      return;
    }
    this.#replyType = unit.uint32(12);
    const lengthBytes = unit.uint32(16);
    if (lengthBytes > OPTION_BYTES_MAX || ++this.#replyCount > REPLIES_PER_OPTION_MAX) {
      const text = `${this.#replyCount} replies to one option, the last of ${lengthBytes} bytes`;
      this.#fail("protocol-error", text);
      return;
    }
    this.#phase = Phase.replyData;
    this.#unit.collect(lengthBytes);
  }

  #onReply(data: Uint8Array): void {
    const type = this.#replyType;
    const option = this.#option;
    this.#awaitReply();
    if (type === OptionReply.ack) this.#onAck(data);
    else if (type >= OptionReply.errUnsup) this.#onError(type, data);
    else if (type === OptionReply.info && option === Option.go) this.#onInfo(data);
    else if (type === OptionReply.metaContext && isAboutContexts(option)) this.#onContext(data);
    else this.#fail("protocol-error", `a reply of type ${type} to option ${option}`);
  }

  #onAck(data: Uint8Array): void {
    if (data.length > 0) {
      this.#fail("protocol-error", `an acknowledgement with ${data.length} bytes of data`);
      return;
    }
    switch (this.#option) {
      case Option.extendedHeaders:
        this.#extended = true;
        this.#structured = true;
        this.#askPrivate();
        return;
      case Option.structuredReply:
        this.#structured = true;
        this.#askPrivate();
        return;
      case Option.listMetaContext:
        this.#askStatus();
        return;
      case Option.setMetaContext:
        this.#askGo();
        return;
      default:
        this.#conclude();
    }
  }

  #askPrivate(): void {
    this.#askContexts(Option.listMetaContext, [INSTANCE_QUERY, CACHE_QUERY]);
  }

  #askStatus(): void {
    const queries = [BASE_ALLOCATION.name];
    const { association } = this.#request;
    const isOurs = readPrivateAnswers(this.#listed).instanceId !== null;
    if (isOurs && association !== null) queries.push(hostQuery(association));
    this.#askContexts(Option.setMetaContext, queries);
  }

  /** A refusal: some only mean that the next way is tried. */
  #onError(type: number, data: Uint8Array): void {
    switch (this.#option) {
      case Option.extendedHeaders:
        this.#ask(Option.structuredReply, 0);
        return;
      case Option.structuredReply:
        this.#askGo();
        return;
      case Option.listMetaContext:
        this.#listed = [];
        this.#askStatus();
        return;
      case Option.setMetaContext:
        this.#allocationContext = null;
        this.#askGo();
        return;
      default:
        if (type === OptionReply.errUnsup && !this.#extended) this.#askByName();
        else this.#refused(type, data);
    }
  }

  #refused(type: number, data: Uint8Array): void {
    const text = decodeString(data);
    const words = text === null || text === "" ? "" : `: ${quote(text)}`;
    const name = quote(this.#request.exportName);
    if (type === OptionReply.errUnknown) {
      this.#fail("export-unknown", `the server has no export ${name}${words}`);
    } else if (type === OptionReply.errTlsReqd) {
      this.#fail("tls-required", `export ${name} is given over TLS only${words}`);
    } else if (type === OptionReply.errShutdown) {
      this.#fail("server-stopping", `the server is stopping${words}`);
    } else {
      const code = `0x${type.toString(16)}`;
      this.#fail("export-refused", `the server refuses export ${name} (${code})${words}`);
    }
  }

  #onContext(data: Uint8Array): void {
    const reader = new OptionReader(data);
    const id = reader.uint32();
    const name = id === null ? null : reader.string(reader.leftBytes);
    if (id === null || name === null) {
      this.#fail("protocol-error", `a metadata context of ${data.length} bytes`);
    } else if (this.#option === Option.listMetaContext) {
      if (this.#listed.length < META_CONTEXT_COUNT_MAX) this.#listed.push(name);
    } else if (name === BASE_ALLOCATION.name) {
      this.#allocationContext = id;
    } else {
      // Block-status chunks of it would come that nobody has asked for.
      this.#fail("protocol-error", `the server selects ${quote(name)}, which was not asked for`);
    }
  }

  #onInfo(data: Uint8Array): void {
    const reader = new OptionReader(data);
    const type = reader.uint16();
    if (type === InfoType.export && data.length === 12) {
      const high = reader.uint32() ?? 0;
      const low = reader.uint32() ?? 0;
      this.#setSize(high, low, reader.uint16() ?? 0);
    } else if (type === InfoType.blockSize && data.length === 14) {
      const sizes: BlockSizes = {
        minimumBlockBytes: reader.uint32() ?? 0,
        preferredBlockBytes: reader.uint32() ?? 0,
        maximumPayloadBytes: reader.uint32() ?? 0,
      };
      if (areSane(sizes)) this.#blockSizes = sizes;
      else this.#fail("protocol-error", `block sizes ${Object.values(sizes).join(", ")}`);
    } else if (type === null || type === InfoType.export || type === InfoType.blockSize) {
      this.#fail("protocol-error", `information of ${data.length} bytes`);
    }
    // Other information was not asked for and is ignored, as the spec says.
  }

  #onExportName(): void {
    const unit = this.#unit;
    this.#setSize(unit.uint32(0), unit.uint32(4), unit.uint32(6) & 0xffff);
    if (this.#phase === Phase.exportName) this.#conclude();
  }

  #setSize(high: number, low: number, flags: number): void {
    const sizeBytes = high * WORD + low;
    if (!Number.isSafeInteger(sizeBytes)) {
      this.#fail("protocol-error", `an export of more than 2^53 bytes (2^32 x ${high})`);
      return;
    }
    const hasFlags = (flags & TransmissionFlag.hasFlags) !== 0;
    this.#size = { sizeBytes, flags: hasFlags ? flags : 0 };
  }

  #conclude(): void {
    if (this.#size === null) {
      this.#fail("protocol-error", "the server does not say how large the export is");
      return;
    }
    const session: InitiatorSession = {
      ...this.#size,
      ...this.#blockSizes,
      ...readPrivateAnswers(this.#listed),
      structuredReplies: this.#structured,
      extendedHeaders: this.#extended,
      allocationContext: this.#allocationContext,
    };
    this.#end({ kind: "ready", session });
  }

  #fail(code: InitiatorFailure, message: string): void {
    this.#end({ kind: "failed", code, message });
  }

  #end(outcome: InitiatorOutcome): void {
    this.#phase = Phase.ended;
    this.#outcome = outcome;
    this.#unit.release();
  }
}

interface BlockSizes {
  readonly minimumBlockBytes: number;
  readonly preferredBlockBytes: number;
  readonly maximumPayloadBytes: number;
}

/** spec: NBD proto.md "Block size constraints" */
function areSane(sizes: BlockSizes): boolean {
  const { minimumBlockBytes, preferredBlockBytes, maximumPayloadBytes } = sizes;
  return (
    isPowerOfTwo(minimumBlockBytes) &&
    minimumBlockBytes <= MINIMUM_BLOCK_BYTES_MAX &&
    isPowerOfTwo(preferredBlockBytes) &&
    preferredBlockBytes >= Math.max(minimumBlockBytes, PREFERRED_BLOCK_BYTES_MIN) &&
    maximumPayloadBytes >= minimumBlockBytes &&
    (maximumPayloadBytes === MAXIMUM_BLOCK_UNLIMITED ||
      maximumPayloadBytes % minimumBlockBytes === 0)
  );
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && value <= 0x8000_0000 && Number.isInteger(Math.log2(value));
}

function isAboutContexts(option: number): boolean {
  return option === Option.listMetaContext || option === Option.setMetaContext;
}
