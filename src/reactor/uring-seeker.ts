/**
 * UringSeeker: SEEK_DATA and SEEK_HOLE through a helper thread, started at the first use.
 */

import { Worker } from "node:worker_threads";
import type { SeekAnswer, SeekCall } from "../sys/blocking-worker.ts";
import { moduleBeside } from "../util/module-url.ts";
import { Errno } from "./errno.ts";
import type { IoOp } from "./io.ts";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

export class UringSeeker {
  readonly #complete: (slot: number, result: number) => void;
  #worker: Worker | null = null;
  readonly #waiting = new Set<number>();

  /** @param complete gets the op's slot; called from the thread's event loop */
  constructor(complete: (slot: number, result: number) => void) {
    this.#complete = complete;
  }

  seek(op: IoOp, fd: number, position: number, what: "data" | "hole"): void {
    this.#worker ??= this.#start();
    this.#waiting.add(op.slot);
    this.#worker.ref();
    const whence = what === "data" ? SEEK_DATA : SEEK_HOLE;
    const call: SeekCall = { id: op.slot, fd, position, whence };
    this.#worker.postMessage(call);
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    if (worker === null) return;
    this.#worker = null;
    worker.ref();
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    worker.postMessage("close");
    await ended;
  }

  #start(): Worker {
    const worker = new Worker(moduleBeside(import.meta.url, "../sys/blocking-worker"), {
      execArgv: ["--disable-warning=ExperimentalWarning"],
    });
    worker.on("message", (answer: SeekAnswer) => this.#answered(answer.id, answer.result));
    worker.on("error", () => {
      this.#worker = null;
      for (const slot of [...this.#waiting]) this.#answered(slot, -Errno.EIO);
    });
    return worker;
  }

  #answered(slot: number, result: number): void {
    this.#waiting.delete(slot);
    if (this.#waiting.size === 0) this.#worker?.unref();
    this.#complete(slot, result);
  }
}
