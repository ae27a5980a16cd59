/**
 * blocking-worker: the thread that makes the calls which may block and are no ring operation.
 *
 * Runs as a worker of one Io. Gets {id, fd, position, whence}, answers {id, result}.
 */

import { parentPort } from "node:worker_threads";
import { assert } from "../util/assert.ts";
import { lseekBlocking } from "./libc.ts";

export interface SeekCall {
  readonly id: number;
  readonly fd: number;
  readonly position: number;
  readonly whence: number;
}

export interface SeekAnswer {
  readonly id: number;
  /** The position found, or -errno. */
  readonly result: number;
}

const port = parentPort;
assert(port !== null, "blocking-worker runs as a worker");
port.on("message", (call: SeekCall | "close") => {
  if (call === "close") {
    port.close();
    return;
  }
  const result = lseekBlocking(call.fd, call.position, call.whence);
  const answer: SeekAnswer = { id: call.id, result };
  port.postMessage(answer);
});
