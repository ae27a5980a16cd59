/**
 * ByteReader: takes a socket's bytes in pieces of the length that is asked for.
 *
 * State: what was received and not yet taken; paused above a limit, so memory is bounded.
 */

import type { Socket } from "node:net";
import { PenstockError, toPenstockError } from "../util/errors.ts";

const BUFFERED_BYTES_MAX = 4 * 1024 * 1024;

export class ByteReader {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #bufferedBytes = 0;
  #ended: PenstockError | null = null;
  #wake: (() => void) | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bufferedBytes += chunk.length;
      if (this.#bufferedBytes > BUFFERED_BYTES_MAX) socket.pause();
      this.#wake?.();
    });
    socket.on("error", (error) => this.#end(toPenstockError(error)));
    socket.on("close", () => this.#end(closedError()));
  }

  /** The next `lengthBytes` bytes. One call at a time. @throws PenstockError when the peer ends */
  async take(lengthBytes: number): Promise<Buffer> {
    while (this.#bufferedBytes < lengthBytes) {
      if (this.#ended !== null) throw this.#ended;
      this.#socket.resume();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
    return this.#cut(lengthBytes);
  }

  #cut(lengthBytes: number): Buffer {
    const first = this.#chunks[0];
    const all =
      first !== undefined && first.length >= lengthBytes ? first : Buffer.concat(this.#chunks);
    const isFirst = all === first;
    const rest = all.subarray(lengthBytes);
    this.#chunks = [...(rest.length > 0 ? [rest] : []), ...(isFirst ? this.#chunks.slice(1) : [])];
    this.#bufferedBytes -= lengthBytes;
    return all.subarray(0, lengthBytes);
  }

  #end(error: PenstockError): void {
    this.#ended ??= error;
    this.#wake?.();
  }
}

function closedError(): PenstockError {
  return new PenstockError({
    code: "connection-failed",
    message: "the server has closed the connection",
    retryable: true,
  });
}
