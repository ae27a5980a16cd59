/**
 * What this process may do: foreign functions (node:ffi) and io_uring, found out by trying.
 *
 * Two independent probes, as a container may take either away. Modules that need FFI are imported
 * dynamically, so that where it is missing nothing else fails. Stateless: nothing stays open.
 */

import { toPenstockError } from "../util/errors.ts";

export interface Probe {
  readonly available: boolean;
  /** Why not, for a person; empty when available. */
  readonly reason: string;
}

export interface SystemCapabilities {
  readonly ffi: Probe;
  /** With what our ring asks for: SINGLE_ISSUER and DEFER_TASKRUN, kernel 6.1. */
  readonly ioUring: Probe;
}

const AVAILABLE: Probe = { available: true, reason: "" };
const PROBE_ENTRIES = 4;

export async function probeCapabilities(): Promise<SystemCapabilities> {
  const ffi = await probe(async () => {
    await import("./libc.ts");
  });
  if (!ffi.available) return { ffi, ioUring: { available: false, reason: "needs node:ffi" } };
  const ioUring = await probe(async () => {
    const { Ring } = await import("./uring.ts");
    const ring = new Ring({ submissionEntries: PROBE_ENTRIES, completionEntries: PROBE_ENTRIES });
    ring.close();
  });
  return { ffi, ioUring };
}

async function probe(attempt: () => Promise<void>): Promise<Probe> {
  try {
    await attempt();
    return AVAILABLE;
  } catch (thrown) {
    return { available: false, reason: toPenstockError(thrown).message };
  }
}
