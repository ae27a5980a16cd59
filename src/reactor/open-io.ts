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
  /** Not `portable`: shared by the reactors of the process; its own when absent. */
  readonly slabTable?: SharedSlabTable;
  /** Not `portable`: longest look for work before sleeping, in ms; 0 never looks. */
  readonly spinMsMax?: number;
  /** Not `portable`: the thread is not the reactor's own; see NativeIoOptions. */
  readonly sharesThread?: boolean;
}

/**
 * The level to use. `auto` takes the best that works here.
 * @throws PenstockError `level-unavailable` (says what is missing)
 */
export async function chooseLevel(choice: LevelChoice): Promise<RealLevel> {
  // Not even probed: the probe itself would load node:ffi.
  if (choice === "portable") return IoLevel.portable;
  return levelFor(choice, await probeCapabilities());
}

/** The decision alone. @throws PenstockError `level-unavailable` */
export function levelFor(choice: LevelChoice, found: SystemCapabilities): RealLevel {
  const { ffi, ioUring } = found;
  if (choice === "portable") return IoLevel.portable;
  if (ioUring.available && choice !== "posix") return IoLevel.uring;
  if (ffi.available && choice !== "uring") return IoLevel.posix;
  if (choice === "auto") return IoLevel.portable;
  const missing = ffi.available ? `io_uring: ${ioUring.reason}` : `node:ffi: ${ffi.reason}`;
  const works = ffi.available ? "--io posix works here" : "--io portable works everywhere";
  throw new PenstockError({
    code: "level-unavailable",
    message: `level ${choice} is not available here (${missing}); ${works}`,
  });
}

/** @throws PenstockError `io-uring-unavailable`, `out-of-memory` */
export async function openIo(options: OpenIoOptions): Promise<Io> {
  if (options.level === IoLevel.portable) {
    const { PortableIo } = await import("./portable-io.ts");
    return PortableIo.create();
  }
  const { slabTable, spinMsMax, sharesThread } = options;
  const native = {
    ...(slabTable === undefined ? {} : { slabTable }),
    ...(spinMsMax === undefined ? {} : { spinMsMax }),
    ...(sharesThread === undefined ? {} : { sharesThread }),
  };
  if (options.level === IoLevel.posix) {
    const { PosixIo } = await import("./posix-io.ts");
    return new PosixIo(native);
  }
  const { UringIo } = await import("./uring-io.ts");
  return new UringIo(native);
}
