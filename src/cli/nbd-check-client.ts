/**
 * A small NBD client on node:net for `npm start`'s check: simple replies, any number of commands
 * under way. Independent of the target's code but for the protocol's numbers and requests.
 *
 *   connect --GO--> serving --close()--> closed;  a protocol error or a lost connection fails
 *                                                 everything that waits
 */

import { createConnection, type Socket } from "node:net";
import {
  ClientFlag,
  Command,
  INIT_MAGIC_HIGH,
  INIT_MAGIC_LOW,
  InfoType,
  Option,
  OPTION_MAGIC_HIGH,
  OPTION_MAGIC_LOW,
  OPTION_REPLY_HEADER_BYTES,
  OptionReply,
  SIMPLE_REPLY_MAGIC,
} from "../proto/nbd/constants.ts";
import {
  encodeRequest,
  REQUEST_BYTES,
  RequestHeader,
  setOffset,
} from "../proto/nbd/pdu-request.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { ByteReader } from "./byte-reader.ts";
import type { CheckClient } from "./check-client.ts";

const GREETING_BYTES = 18;
const OPTION_HEADER_BYTES = 16;
const SIMPLE_REPLY_BYTES = 16;
const OPTION_REPLY_BYTES_MAX = 64 * 1024;
const REPLY_MS_MAX = 30_000;
const PORT_DEFAULT = 10809;

interface PendingCommand {
  readonly lengthBytes: number;
  resolve(data: Buffer): void;
  reject(error: PenstockError): void;
}

export class NbdCheckClient implements CheckClient {
  readonly #socket: Socket;
  readonly #reader: ByteReader;
  readonly #header = new RequestHeader();
  readonly #pending = new Map<number, PendingCommand>();
  #lastCookie = 0;
  #sizeBytes = 0;
  #closing = false;

  /** @throws PenstockError when nobody is there, or who is there has no such export */
  static async connect(uri: string): Promise<NbdCheckClient> {
    const { socket, exportName } = await openSocket(uri);
    const client = new NbdCheckClient(socket);
    try {
      await client.#negotiate(exportName);
    } catch (thrown) {
      socket.destroy();
      throw toPenstockError(thrown);
    }
    void client.#receive();
    return client;
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#reader = new ByteReader(socket);
    socket.setTimeout(REPLY_MS_MAX, () => {
      socket.destroy(new Error(`no answer from the server for ${REPLY_MS_MAX} ms`));
    });
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  read(offset: number, lengthBytes: number): Promise<Buffer> {
    return this.#send(Command.read, offset, lengthBytes, null);
  }

  async write(offset: number, data: Buffer): Promise<void> {
    await this.#send(Command.write, offset, data.length, data);
  }

  async flush(): Promise<void> {
    await this.#send(Command.flush, 0, 0, null);
  }

  async trim(offset: number, lengthBytes: number): Promise<void> {
    await this.#send(Command.trim, offset, lengthBytes, null);
  }

  /** Says good-bye; nothing may be under way. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#header.command = Command.disconnect;
    this.#header.length = 0;
    setOffset(this.#header, 0);
    this.#socket.end(this.#encode(0));
  }

  // spec: NBD proto.md "Fixed newstyle negotiation", NBD_OPT_GO
  async #negotiate(exportName: string): Promise<void> {
    const greeting = await this.#reader.take(GREETING_BYTES);
    expectWords(greeting, INIT_MAGIC_HIGH, INIT_MAGIC_LOW);
    expectWords(greeting.subarray(8), OPTION_MAGIC_HIGH, OPTION_MAGIC_LOW);
    const name = Buffer.from(exportName, "utf8");
    const message = Buffer.alloc(4 + OPTION_HEADER_BYTES + 4 + name.length + 2);
    message.writeUInt32BE(ClientFlag.fixedNewstyle | ClientFlag.noZeroes, 0);
    message.writeUInt32BE(OPTION_MAGIC_HIGH, 4);
    message.writeUInt32BE(OPTION_MAGIC_LOW, 8);
    message.writeUInt32BE(Option.go, 12);
    message.writeUInt32BE(4 + name.length + 2, 16);
    message.writeUInt32BE(name.length, 20);
    name.copy(message, 24);
    this.#socket.write(message);
    for (;;) {
      const head = await this.#reader.take(OPTION_REPLY_HEADER_BYTES);
      const type = head.readUInt32BE(12);
      const lengthBytes = head.readUInt32BE(16);
      if (lengthBytes > OPTION_REPLY_BYTES_MAX) throw protocolError("an endless option reply");
      const data = await this.#reader.take(lengthBytes);
      if (type === OptionReply.ack) return;
      if (type !== OptionReply.info) throw refusedError(exportName, data);
      if (data.readUInt16BE(0) === InfoType.export) {
        this.#sizeBytes = Number(data.readBigUInt64BE(2));
      }
    }
  }

  #send(
    command: number,
    offset: number,
    lengthBytes: number,
    data: Buffer | null,
  ): Promise<Buffer> {
    this.#header.command = command;
    this.#header.length = lengthBytes;
    setOffset(this.#header, offset);
    this.#lastCookie += 1;
    const cookie = this.#lastCookie;
    return new Promise((resolve, reject) => {
      const answerBytes = command === Command.read ? lengthBytes : 0;
      this.#pending.set(cookie, { lengthBytes: answerBytes, resolve, reject });
      this.#socket.write(this.#encode(cookie));
      if (data !== null) this.#socket.write(data);
    });
  }

  #encode(cookie: number): Buffer {
    const bytes = Buffer.alloc(REQUEST_BYTES);
    this.#header.cookieLow = cookie;
    encodeRequest(new DataView(bytes.buffer, bytes.byteOffset), 0, false, this.#header);
    return bytes;
  }

  /** Runs until the connection ends, which ends whatever waits. */
  async #receive(): Promise<void> {
    try {
      for (;;) await this.#receiveReply();
    } catch (thrown) {
      const error = toPenstockError(thrown);
      for (const command of this.#pending.values()) command.reject(error);
      this.#pending.clear();
      if (!this.#closing) this.#socket.destroy();
    }
  }

  // spec: NBD proto.md "Simple reply message"
  async #receiveReply(): Promise<void> {
    const head = await this.#reader.take(SIMPLE_REPLY_BYTES);
    if (head.readUInt32BE(0) !== SIMPLE_REPLY_MAGIC) throw protocolError("a reply without magic");
    const error = head.readUInt32BE(4);
    const cookie = head.readUInt32BE(12);
    const command = this.#pending.get(cookie);
    if (command === undefined) throw protocolError("a reply to nothing");
    const data = error === 0 ? await this.#reader.take(command.lengthBytes) : null;
    this.#pending.delete(cookie);
    if (data !== null) command.resolve(data);
    else command.reject(commandError(error));
  }
}

async function openSocket(
  uri: string,
): Promise<{ readonly socket: Socket; readonly exportName: string }> {
  const url = new URL(uri);
  const exportName = decodeURIComponent(url.pathname.replace(/^\//, ""));
  const path = url.searchParams.get("socket");
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? PORT_DEFAULT : Number(url.port);
  const socket = path === null ? createConnection({ host, port }) : createConnection({ path });
  socket.setNoDelay(true);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", (error) => reject(toPenstockError(error)));
  });
  return { socket, exportName };
}

function expectWords(bytes: Buffer, high: number, low: number): void {
  if (bytes.readUInt32BE(0) === high && bytes.readUInt32BE(4) === low) return;
  throw protocolError("a greeting that is not NBD's");
}

function protocolError(what: string): PenstockError {
  return new PenstockError({ code: "protocol", message: `the server sent ${what}` });
}

function refusedError(exportName: string, reason: Buffer): PenstockError {
  return new PenstockError({
    code: "export-refused",
    message: `the server refuses the export "${exportName}": ${reason.toString("utf8")}`,
  });
}

function commandError(error: number): PenstockError {
  return new PenstockError({
    code: "command-failed",
    message: `the server answered error ${error}`,
  });
}
