/**
 * Chooses a level and opens an Io of it. The levels' modules are imported dynamically: at the
 * portable level node:ffi is never loaded, and where FFI is missing nothing else fails.
 */

import { probeCapabilities, type SystemCapabilities } from "../sys/capabilities.ts";
import { PenstockError } from "../util/errors.ts";
import { type Io, IoLevel } from "./io.ts";
import type { RealLevel } from "./level-capabilities.ts";
import type { SharedSlabTable } from "./slab-space-shared.ts";

/** What a person may ask for. */
export const LEVEL_CHOICES = ["auto", "uring", "posix", "portable"] as const;
export type LevelChoice = (typeof LEVEL_CHOICES)[number];

export interface OpenIoOptions {
  readonly level: RealLevel;
  /** `uring`: shared by the reactors of the process; its own when absent. */
  readonly slabTable?: SharedSlabTable;
  /** `uring`: longest look for work before sleeping, in ms; 0 never looks. */
  readonly spinMsMax?: number;
  /** `uring`: the thread is not the reactor's own; see UringIoOptions. */
  readonly sharesThread?: boolean;
}

/**
 * The level to use. `auto` takes the best that works here.
 * @throws PenstockError `level-unsupported` (posix), `level-unavailable` (says what is missing)
 */
export async function chooseLevel(choice: LevelChoice): Promise<RealLevel> {
  // Not even probed: the probe itself would load node:ffi.
  if (choice === "portable") return IoLevel.portable;
  if (choice === "posix") {
    throw new PenstockError({
      code: "level-unsupported",
      message: "level posix is not yet in this version, expected auto, uring or portable",
    });
  }
  return levelFor(choice, await probeCapabilities());
}

/** The decision alone. @throws PenstockError `level-unavailable` */
export function levelFor(choice: "auto" | "uring", found: SystemCapabilities): RealLevel {
  if (found.ioUring.available) return IoLevel.uring;
  if (choice === "auto") return IoLevel.portable;
  const missing = found.ffi.available
    ? `io_uring: ${found.ioUring.reason}`
    : `node:ffi: ${found.ffi.reason}`;
  throw new PenstockError({
    code: "level-unavailable",
    message: `level uring is not available here (${missing}); --io portable works everywhere`,
  });
}

/** @throws PenstockError `io-uring-unavailable`, `out-of-memory` */
export async function openIo(options: OpenIoOptions): Promise<Io> {
  if (options.level === IoLevel.portable) {
    const { PortableIo } = await import("./portable-io.ts");
    return PortableIo.create();
  }
  const { UringIo } = await import("./uring-io.ts");
  const { slabTable, spinMsMax, sharesThread } = options;
  return new UringIo({
    ...(slabTable === undefined ? {} : { slabTable }),
    ...(spinMsMax === undefined ? {} : { spinMsMax }),
    ...(sharesThread === undefined ? {} : { sharesThread }),
  });
}
