/**
 * LogSink: lines on their way to a file descriptor, written behind the caller's back.
 *
 *   write(line) --> queue (bounded: beyond it lines are dropped) --> one write at a time
 *   flush()     --> the queue is written at once; what cannot be is dropped
 *
 * Nothing here waits for a slow reader or a full disk: a write that fails takes its lines with it.
 * (pino's own destination tries one that fails again for ever when it is flushed.)
 */

import { write, writeSync } from "node:fs";
import { toPenstockError } from "../util/errors.ts";

/** Of lines that wait. */
const QUEUED_CHARACTERS_MAX = 2 ** 20;
/** A reader that leaves no room right now. */
const RETRY_MS = 50;
const FLUSH_TRIES_MAX = 20;
const FULL = "system-eagain";

export class LogSink {
  readonly #fd: number;
  #queue: string[] = [];
  #queuedCharacters = 0;
  /** A helper thread writes. */
  #isWriting = false;
  #waiters: (() => void)[] = [];

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(line: string): void {
    if (this.#queuedCharacters + line.length > QUEUED_CHARACTERS_MAX) return;
    this.#queue.push(line);
    this.#queuedCharacters += line.length;
    if (!this.#isWriting) this.#writeBehind(this.#take());
  }

  /** May overtake what a helper thread writes at this moment. */
  flush(): void {
    let rest = this.#take();
    for (let tries = 0; rest.length > 0 && tries < FLUSH_TRIES_MAX; ) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest));
      } catch (thrown) {
        if (toPenstockError(thrown).code !== FULL) return;
        tries += 1;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      }
    }
  }

  /**
   * Settles when no helper thread writes any more, or after `limitMs`: what it has in its hands
   * would be lost with the process. Behind `flush`, before the end.
   */
  async settled(limitMs: number): Promise<void> {
    if (!this.#isWriting) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#waiters.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #take(): Buffer {
    const bytes = Buffer.from(this.#queue.join(""));
    this.#queue = [];
    this.#queuedCharacters = 0;
    return bytes;
  }

  #writeBehind(bytes: Buffer): void {
    this.#isWriting = bytes.length > 0;
    if (!this.#isWriting) {
      for (const wake of this.#waiters.splice(0)) wake();
      return;
    }
    write(this.#fd, bytes, (error, written) => {
      if (error === null) {
        const rest = bytes.subarray(written);
        this.#writeBehind(rest.length > 0 ? rest : this.#take());
      } else if (error.code === "EAGAIN") {
        setTimeout(() => this.#writeBehind(bytes), RETRY_MS).unref();
      } else {
        this.#writeBehind(this.#take());
      }
    });
  }
}
