/**
 * Which level a library's device gets: what was asked for, what works here, and why.
 *
 * State: what this process can do, found out once.
 */

import { isMainThread } from "node:worker_threads";
import { IoLevel } from "../reactor/io.ts";
import { probeCapabilities, type SystemCapabilities } from "../sys/capabilities.ts";
import { PenstockError } from "../util/errors.ts";
import type { Level } from "./public-types.ts";

export interface ChosenLevel {
  readonly level: Level;
  /** Why not `uring`; empty when it is. */
  readonly reason: string;
}

const CHOICES: readonly string[] = ["auto", "uring", "posix", "portable"];

/** A worker can be ended from outside; with an open handle of libuv it aborts the process. */
const NOT_IN_WORKERS =
  "foreign functions are used on the main thread only, and this is a worker thread";

let found: Promise<SystemCapabilities> | null = null;

/**
 * @param asked undefined: as PENSTOCK_IO of the environment says, else `auto`
 * @throws PenstockError `invalid-argument`, `level-unavailable`
 */
export async function chooseLevel(asked: string | undefined): Promise<ChosenLevel> {
  const choice = asked ?? process.env.PENSTOCK_IO ?? "auto";
  if (!CHOICES.includes(choice)) {
    const message = `found the level "${choice}", expected one of ${CHOICES.join(", ")}`;
    throw new PenstockError({ code: "invalid-argument", message });
  }
  if (choice === "portable") return { level: IoLevel.portable, reason: "it was asked for" };
  const missing = await whatIsMissing();
  if (choice === "posix" && missing.posix === "") {
    return { level: IoLevel.posix, reason: "it was asked for" };
  }
  if (choice !== "posix" && missing.uring === "") return { level: IoLevel.uring, reason: "" };
  if (choice === "auto") {
    const level = missing.posix === "" ? IoLevel.posix : IoLevel.portable;
    return { level, reason: missing.uring };
  }
  const reason = choice === "posix" ? missing.posix : missing.uring;
  const others = missing.posix === "" ? "auto, posix or portable" : "auto or portable";
  const message = `found no way to level ${choice} (${reason}), expected level ${others} here`;
  throw new PenstockError({ code: "level-unavailable", message });
}

/** What each of the levels lacks here; empty when it works. */
async function whatIsMissing(): Promise<{ readonly uring: string; readonly posix: string }> {
  if (!isMainThread) return { uring: NOT_IN_WORKERS, posix: NOT_IN_WORKERS };
  found ??= probeCapabilities();
  const { ffi, ioUring } = await found;
  const posix = ffi.available ? "" : `node:ffi: ${ffi.reason}`;
  const uring = ioUring.available ? "" : `io_uring: ${ioUring.reason}`;
  return { posix, uring: posix === "" ? uring : posix };
}
