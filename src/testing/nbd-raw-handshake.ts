/**
 * The handshake of our own NBD client for tests: greeting, options one by one, GO.
 *
 * Owned by one test, like the socket it talks on, which is free for a session afterwards.
 */

import {
  ClientFlag,
  INIT_MAGIC_HIGH,
  INIT_MAGIC_LOW,
  InfoType,
  OPTION_MAGIC_HIGH,
  OPTION_MAGIC_LOW,
  OPTION_REPLY_MAGIC_HIGH,
  OPTION_REPLY_MAGIC_LOW,
  Option,
  OptionReply,
} from "../proto/nbd/constants.ts";
import { clientFlags, goData, metaContextData, option } from "./nbd-bytes.ts";
import type { RawSocket } from "./raw-socket.ts";

export interface OptionReplyMessage {
  readonly type: number;
  readonly data: Buffer;
}

export interface RawClientOptions {
  /** What is negotiated for replies; default structured. */
  readonly replies?: "simple" | "structured" | "extended";
  readonly metaContexts?: readonly string[];
  /** Asks for block sizes, and so promises to keep to them. */
  readonly blockSizes?: boolean;
}

/** What the handshake came to. */
export interface RawSession {
  readonly sizeBytes: number;
  readonly transmissionFlags: number;
  /** Requests and replies have extended headers. */
  readonly extended: boolean;
}

export class NbdRawHandshake {
  readonly raw: RawSocket;

  constructor(raw: RawSocket) {
    this.raw = raw;
  }

  /** Reads the greeting and answers it. */
  async greet(flags: number = ClientFlag.fixedNewstyle | ClientFlag.noZeroes): Promise<void> {
    const greeting = await this.raw.read(18);
    const words = [0, 4, 8, 12].map((at) => greeting.readUInt32BE(at));
    const expected = [INIT_MAGIC_HIGH, INIT_MAGIC_LOW, OPTION_MAGIC_HIGH, OPTION_MAGIC_LOW];
    if (words.some((word, index) => word !== expected[index])) {
      throw new Error(`not a greeting: ${greeting.toString("hex")}`);
    }
    await this.raw.write(clientFlags(flags));
  }

  /** Sends one option and reads its replies up to the one that ends it. */
  async option(type: number, data?: Uint8Array): Promise<OptionReplyMessage[]> {
    await this.raw.write(option(type, data));
    return await this.optionReplies(type);
  }

  async optionReplies(type: number): Promise<OptionReplyMessage[]> {
    const replies: OptionReplyMessage[] = [];
    for (;;) {
      const header = await this.raw.read(20);
      const isReply =
        header.readUInt32BE(0) === OPTION_REPLY_MAGIC_HIGH &&
        header.readUInt32BE(4) === OPTION_REPLY_MAGIC_LOW &&
        header.readUInt32BE(8) === type;
      if (!isReply) {
        throw new Error(`not a reply to option ${type}: ${header.toString("hex")}`);
      }
      const replyType = header.readUInt32BE(12);
      replies.push({ type: replyType, data: await this.raw.read(header.readUInt32BE(16)) });
      if (replyType === OptionReply.ack || replyType >= OptionReply.errUnsup) {
        return replies;
      }
    }
  }

  /** From the client's flags to transmission. Rejects with the type of an error reply. */
  async negotiate(name: string, options: RawClientOptions = {}): Promise<RawSession> {
    const replies = options.replies ?? "structured";
    const extended = replies === "extended";
    if (replies !== "simple") {
      await this.#mustAck(extended ? Option.extendedHeaders : Option.structuredReply);
    }
    if (options.metaContexts !== undefined) {
      await this.#mustAck(Option.setMetaContext, metaContextData(name, options.metaContexts));
    }
    const information = options.blockSizes === true ? [InfoType.blockSize] : [];
    const answers = await this.#mustAck(Option.go, goData(name, information));
    const exported = answers.find(
      ({ type, data }) => type === OptionReply.info && data.readUInt16BE(0) === InfoType.export,
    );
    if (exported === undefined) {
      throw new Error("GO was acknowledged without information about the export");
    }
    return {
      sizeBytes: Number(exported.data.readBigUInt64BE(2)),
      transmissionFlags: exported.data.readUInt16BE(10),
      extended,
    };
  }

  async #mustAck(type: number, data?: Uint8Array): Promise<OptionReplyMessage[]> {
    const replies = await this.option(type, data);
    const last = replies.at(-1);
    if (last?.type !== OptionReply.ack) {
      throw new Error(`option ${type} refused: ${last?.type.toString(16)} ${last?.data}`);
    }
    return replies;
  }
}
