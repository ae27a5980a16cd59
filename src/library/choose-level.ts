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

const CHOICES: readonly string[] = ["auto", "uring", "portable"];

/** A worker can be ended from outside, and one that ends with an open ring aborts the process. */
const NOT_IN_WORKERS = "io_uring is used on the main thread only, and this is a worker thread";

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
  const reason = isMainThread ? await whyNotUring() : NOT_IN_WORKERS;
  if (reason === "") return { level: IoLevel.uring, reason };
  if (choice === "auto") return { level: IoLevel.portable, reason };
  const message = `found no way to level uring (${reason}), expected level auto or portable here`;
  throw new PenstockError({ code: "level-unavailable", message });
}

async function whyNotUring(): Promise<string> {
  found ??= probeCapabilities();
  const { ffi, ioUring } = await found;
  if (!ffi.available) return `node:ffi: ${ffi.reason}`;
  return ioUring.available ? "" : `io_uring: ${ioUring.reason}`;
}
