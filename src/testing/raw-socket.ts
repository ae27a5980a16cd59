/**
 * A socket for tests that talk a protocol byte by byte: exact reads, and reading that stops.
 *
 *   open --(peer closes | error | destroy)--> closed; buffered bytes can still be read
 *
 * Owned by one test. At most one `read` waits at a time. Received bytes pile up only while somebody
 * reads or `BUFFERED_BYTES_MAX` is not reached; beyond that the kernel's window closes.
 */

import { connect, type Socket } from "node:net";

import { assert } from "../util/assert.ts";

const BUFFERED_BYTES_MAX = 8 * 1024 * 1024;
const READ_TIMEOUT_MS = 20_000;

/** The peer closed the connection, or it broke, before a read was satisfied. */
export class ConnectionClosed extends Error {
  override readonly name = "ConnectionClosed";
}

interface Waiter {
  readonly lengthBytes: number;
  readonly resolve: (bytes: Buffer) => void;
  readonly reject: (error: Error) => void;
}

export class RawSocket {
  readonly socket: Socket;
  /** Settles when the connection is gone, whatever the reason. */
  readonly closed: Promise<void>;
  #isClosed = false;
  #chunks: Buffer[] = [];
  #bufferedBytes = 0;
  #waiter: Waiter | null = null;
  #reading = true;

  /** Connects to what an NBD URI names: `nbd://host:port/x` or `nbd+unix:///x?socket=/path`. */
  static async connect(uri: string): Promise<RawSocket> {
    const url = new URL(uri);
    const path = url.searchParams.get("socket");
    const socket =
      path === null
        ? connect({ host: url.hostname, port: Number(url.port), noDelay: true })
        : connect({ path });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new RawSocket(socket);
  }

  constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#isClosed = true;
        this.#satisfy();
        resolve();
      });
    });
    // A failed test leaves clients behind; the server, a child process, keeps this one alive.
    socket.unref();
    // A reset is one way to be closed by a server that was sent garbage.
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Queues bytes; resolves when the kernel has them. Never rejects: a closed peer is no error. */
  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.socket.write(bytes, () => resolve());
      });
    }
  }

  /** Exactly `lengthBytes` bytes; rejects with ConnectionClosed, or after `timeoutMs`. */
  async read(lengthBytes: number, timeoutMs: number = READ_TIMEOUT_MS): Promise<Buffer> {
    assert(this.#waiter === null, "one read at a time");
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Buffer>((resolve, reject) => {
        const message = `no ${lengthBytes} bytes within ${timeoutMs} ms`;
        if (timeoutMs !== Number.POSITIVE_INFINITY) {
          timer = setTimeout(() => reject(new Error(message)), timeoutMs);
        }
        this.#waiter = { lengthBytes, resolve, reject };
        this.#satisfy();
      });
    } finally {
      clearTimeout(timer);
      this.#waiter = null;
    }
  }

  /** Everything until the peer closes; gives up after `timeoutMs`. */
  async readToEnd(timeoutMs: number = READ_TIMEOUT_MS): Promise<Buffer> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      const message = `the peer did not close within ${timeoutMs} ms`;
      timer = setTimeout(() => reject(new Error(message)), timeoutMs);
    });
    try {
      await Promise.race([this.closed, late]);
    } finally {
      clearTimeout(timer);
    }
    return this.#take(this.#bufferedBytes);
  }

  /** Leaves what arrives from now on in the kernel, so that the peer's window closes. */
  stopReading(): void {
    this.#reading = false;
    this.socket.pause();
  }

  resumeReading(): void {
    this.#reading = true;
    this.socket.resume();
  }

  /** Sends FIN after what was written. */
  end(): void {
    this.socket.end();
  }

  /** Drops the connection at once, with a reset where `reset` asks for one. */
  destroy(reset = false): void {
    // Node never emits "close" when it is to reset a socket that the peer has ended.
    if (reset && this.socket.readyState === "open") {
      this.socket.resetAndDestroy();
    } else {
      this.socket.destroy();
    }
  }

  #received(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bufferedBytes += chunk.length;
    this.#satisfy();
    if (this.#bufferedBytes > BUFFERED_BYTES_MAX && this.#waiter === null) {
      this.socket.pause();
    }
  }

  #satisfy(): void {
    const waiter = this.#waiter;
    if (waiter === null) {
      return;
    }
    if (this.#bufferedBytes >= waiter.lengthBytes) {
      this.#waiter = null;
      waiter.resolve(this.#take(waiter.lengthBytes));
    } else if (this.#isClosed) {
      this.#waiter = null;
      const got = `${this.#bufferedBytes} of ${waiter.lengthBytes} bytes`;
      waiter.reject(new ConnectionClosed(`connection closed after ${got}`));
    }
    if (this.#reading && this.socket.isPaused()) {
      this.socket.resume();
    }
  }

  #take(lengthBytes: number): Buffer {
    const parts: Buffer[] = [];
    let missing = lengthBytes;
    while (missing > 0) {
      const [chunk] = this.#chunks;
      assert(chunk !== undefined, "as many bytes as were counted");
      if (chunk.length <= missing) {
        parts.push(chunk);
        this.#chunks.shift();
        missing -= chunk.length;
      } else {
        parts.push(chunk.subarray(0, missing));
        this.#chunks[0] = chunk.subarray(missing);
        missing = 0;
      }
    }
    this.#bufferedBytes -= lengthBytes;
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }
}
