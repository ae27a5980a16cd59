/**
 * An NBD client of our own for tests: knows what was answered, and checks every reply's form.
 *
 *   handshake (nbd-raw-handshake.ts) --> transmission --disconnect or close--> closed
 *
 * Small, not fast. Shares nothing with the product but the protocol's numbers, which foreign
 * clients check elsewhere. A reply that is torn, unknown or answered twice rejects `failed`, and
 * with it every request that waits.
 */

import {
  ChunkFlag,
  ChunkType,
  Command,
  EXTENDED_REPLY_MAGIC,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from "../proto/nbd/constants.ts";
import { COOKIE_HIGH, request } from "./nbd-bytes.ts";
import { NbdRawHandshake, type RawClientOptions, type RawSession } from "./nbd-raw-handshake.ts";
import { ConnectionClosed, RawSocket } from "./raw-socket.ts";

export interface Answer {
  /** The protocol's error number, 0 for success. */
  readonly error: number;
  /** Of a read. */
  readonly data: Buffer;
  /** Of a block status: pairs of length and state. */
  readonly extents: readonly (readonly [number, number])[];
}

/** The server answered with an error. */
export class NbdReplyError extends Error {
  override readonly name = "NbdReplyError";
  /** The protocol's number. */
  readonly error: number;

  constructor(what: string, error: number) {
    super(`${what}: NBD error ${error}`);
    this.error = error;
  }
}

interface Pending {
  readonly command: number;
  readonly offset: number;
  readonly data: Buffer;
  extents: (readonly [number, number])[];
  error: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

export interface CommandFields {
  readonly command: number;
  readonly flags?: number;
  readonly offset?: number | bigint;
  readonly length?: number | bigint;
  readonly payload?: Uint8Array;
}

/** Longest read this client makes room for. */
const READ_BYTES_MAX = 64 * 1024 * 1024;

export class NbdRawClient {
  readonly raw: RawSocket;
  readonly sizeBytes: number;
  readonly transmissionFlags: number;
  readonly #extended: boolean;
  #nextCookie = 1;
  readonly #pending = new Map<number, Pending>();
  #failure: Error | undefined;

  /** Connects and negotiates the export that the URI names. */
  static async open(uri: string, options: RawClientOptions = {}): Promise<NbdRawClient> {
    const handshake = new NbdRawHandshake(await RawSocket.connect(uri));
    const name = decodeURIComponent(new URL(uri).pathname.slice(1));
    await handshake.greet();
    const session = await handshake.negotiate(name, options);
    return new NbdRawClient(handshake.raw, session);
  }

  /** Takes over the socket of a handshake that has ended. */
  constructor(raw: RawSocket, session: RawSession) {
    this.raw = raw;
    this.sizeBytes = session.sizeBytes;
    this.transmissionFlags = session.transmissionFlags;
    this.#extended = session.extended;
    this.#startReading();
  }

  #startReading(): void {
    this.#readReplies().catch((error: unknown) => {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      for (const pending of this.#pending.values()) {
        pending.reject(this.#failure);
      }
      this.#pending.clear();
    });
  }

  /** Requests sent and not answered. */
  get inFlight(): number {
    return this.#pending.size;
  }

  /** Why replies are no longer read; a ConnectionClosed at a reply's border is a clean end. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Sends one command; resolves with the server's answer, whatever it says. */
  command(fields: CommandFields): Promise<Answer> {
    const cookie = this.#nextCookie;
    this.#nextCookie += 1;
    const answer = new Promise<Answer>((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      const isRead = fields.command === Command.read;
      const readBytes = isRead ? Math.min(Number(fields.length ?? 0), READ_BYTES_MAX) : 0;
      this.#pending.set(cookie, {
        command: fields.command,
        offset: Number(fields.offset ?? 0),
        data: Buffer.alloc(readBytes),
        extents: [],
        error: 0,
        resolve,
        reject,
      });
    });
    // Whoever sends several and then awaits them in order must not crash on the second.
    answer.catch(() => undefined);
    void this.raw.write(request({ ...fields, cookie }, this.#extended));
    if (fields.payload !== undefined) {
      void this.raw.write(fields.payload);
    }
    return answer;
  }

  async read(offset: number, length: number, flags = 0): Promise<Buffer> {
    const answer = await this.command({ command: Command.read, offset, length, flags });
    throwOnError("read", answer);
    return answer.data;
  }

  async write(offset: number, payload: Uint8Array, flags = 0): Promise<void> {
    const { length } = payload;
    throwOnError(
      "write",
      await this.command({ command: Command.write, offset, length, payload, flags }),
    );
  }

  async flush(): Promise<void> {
    throwOnError("flush", await this.command({ command: Command.flush }));
  }

  /** Says goodbye and waits until the server has closed. */
  async disconnect(): Promise<void> {
    await this.raw.write(
      request({ command: Command.disconnect, cookie: this.#nextCookie }, this.#extended),
    );
    await this.raw.closed;
  }

  async #readReplies(): Promise<never> {
    for (;;) {
      const magic = (await this.#readReplyStart()).readUInt32BE(0);
      if (magic === SIMPLE_REPLY_MAGIC) {
        await this.#simpleReply();
      } else if (magic === STRUCTURED_REPLY_MAGIC && !this.#extended) {
        await this.#chunk(await this.raw.read(16));
      } else if (magic === EXTENDED_REPLY_MAGIC && this.#extended) {
        await this.#chunk(await this.raw.read(28));
      } else {
        throw new Error(`not a reply: magic ${magic.toString(16)}`);
      }
    }
  }

  /** A connection that ends here ended between two replies; anywhere else a reply was torn. */
  async #readReplyStart(): Promise<Buffer> {
    // A session may be silent for as long as it likes.
    const first = await this.raw.read(1, Number.POSITIVE_INFINITY);
    try {
      return Buffer.concat([first, await this.raw.read(3)]);
    } catch (error) {
      throw tornReply(error);
    }
  }

  async #simpleReply(): Promise<void> {
    try {
      const header = await this.raw.read(12);
      const [cookie, pending] = this.#find(header, 4);
      pending.error = header.readUInt32BE(0);
      if (pending.error === 0 && pending.command === Command.read) {
        (await this.raw.read(pending.data.length)).copy(pending.data);
      }
      this.#finish(cookie, pending);
    } catch (error) {
      throw tornReply(error);
    }
  }

  async #chunk(header: Buffer): Promise<void> {
    const flags = header.readUInt16BE(0);
    const type = header.readUInt16BE(2);
    const [cookie, pending] = this.#find(header, 4);
    const length = this.#extended ? Number(header.readBigUInt64BE(20)) : header.readUInt32BE(12);
    try {
      applyChunk(pending, type, await this.raw.read(length));
    } catch (error) {
      throw tornReply(error);
    }
    if ((flags & ChunkFlag.done) !== 0) {
      this.#finish(cookie, pending);
    }
  }

  #find(header: Buffer, at: number): [number, Pending] {
    const cookie = header.readUInt32BE(at + 4);
    const pending = this.#pending.get(cookie);
    if (header.readUInt32BE(at) !== COOKIE_HIGH || pending === undefined) {
      throw new Error(`reply to a request that does not wait: ${header.toString("hex")}`);
    }
    return [cookie, pending];
  }

  #finish(cookie: number, pending: Pending): void {
    this.#pending.delete(cookie);
    const { error, data, extents } = pending;
    pending.resolve({ error, data, extents });
  }
}

function throwOnError(what: string, { error }: Answer): void {
  if (error !== 0) {
    throw new NbdReplyError(what, error);
  }
}

function tornReply(error: unknown): Error {
  return error instanceof ConnectionClosed
    ? new Error(`torn reply: ${error.message}`)
    : (error as Error);
}

/** spec: NBD proto.md "Structured reply types" */
function applyChunk(pending: Pending, type: number, payload: Buffer): void {
  switch (type) {
    case ChunkType.none:
      return;
    case ChunkType.offsetData: {
      const at = Number(payload.readBigUInt64BE(0)) - pending.offset;
      assertInside(pending, at, payload.length - 8);
      payload.copy(pending.data, at, 8);
      return;
    }
    case ChunkType.offsetHole: {
      const at = Number(payload.readBigUInt64BE(0)) - pending.offset;
      assertInside(pending, at, payload.readUInt32BE(8));
      pending.data.fill(0, at, at + payload.readUInt32BE(8));
      return;
    }
    case ChunkType.blockStatus:
      for (let at = 4; at < payload.length; at += 8) {
        pending.extents.push([payload.readUInt32BE(at), payload.readUInt32BE(at + 4)]);
      }
      return;
    case ChunkType.blockStatusExt:
      for (let at = 8; at < payload.length; at += 16) {
        const length = Number(payload.readBigUInt64BE(at));
        pending.extents.push([length, Number(payload.readBigUInt64BE(at + 8))]);
      }
      return;
    case ChunkType.error:
    case ChunkType.errorOffset:
      pending.error = payload.readUInt32BE(0);
      return;
    default:
      throw new Error(`unknown chunk type ${type}`);
  }
}

function assertInside(pending: Pending, at: number, length: number): void {
  if (pending.command !== Command.read || at < 0 || at + length > pending.data.length) {
    throw new Error(`chunk of ${length} bytes at ${at} is outside of the request`);
  }
}
