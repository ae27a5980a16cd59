/**
 * uv-poll: has this thread's Node loop call a function when an fd becomes readable.
 *
 * The callback runs bare (no microtasks, no nextTick afterwards) and must not throw. The handle
 * must be closed, and the loop turned once more, before the thread ends (FFI rule 3).
 */

import { assert } from "../util/assert.ts";
import { currentEventLoop, loadFunctions, makePollCallback } from "./ffi.ts";
import { mapShared } from "./memory.ts";

const uv = loadFunctions(null, {
  uv_poll_init: { arguments: ["uint64", "uint64", "int32"], return: "int32" },
  uv_poll_start: { arguments: ["uint64", "int32", "uint64"], return: "int32" },
  uv_poll_stop: { arguments: ["uint64"], return: "int32" },
  uv_close: { arguments: ["uint64", "uint64"], return: "void" },
  uv_unref: { arguments: ["uint64"], return: "void" },
});

const UV_READABLE = 1;

export class ReadablePoll {
  readonly #handle: bigint;
  #open = true;

  /** @param onReadable must not throw; the condition is level-triggered */
  constructor(fd: number, onReadable: () => void) {
    // A handle must not move and must outlive its closing: one page each, for ever.
    this.#handle = BigInt(mapShared(4096).address);
    const callback = makePollCallback(onReadable);
    const made = uv.uv_poll_init(currentEventLoop(), this.#handle, fd);
    assert(made === 0, `uv_poll_init failed: ${made}`);
    const started = uv.uv_poll_start(this.#handle, UV_READABLE, callback);
    assert(started === 0, `uv_poll_start failed: ${started}`);
  }

  /** From now on the handle does not keep the thread's event loop alive. */
  unref(): void {
    uv.uv_unref(this.#handle);
  }

  /** Idempotent. The loop must turn once afterwards (await a setImmediate). */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    uv.uv_poll_stop(this.#handle);
    uv.uv_close(this.#handle, 0n);
  }
}
