/** All servers that the bench knows, and those that run when nothing is said. Stateless. */

import { NBDKIT_SERVERS } from "./nbdkit.ts";
import { PENSTOCK_SERVER } from "./penstock.ts";
import { QEMU_NBD_SERVERS } from "./qemu-nbd.ts";
import type { ServerAdapter } from "./server.ts";

export const SERVERS: readonly ServerAdapter[] = [
  PENSTOCK_SERVER,
  ...NBDKIT_SERVERS,
  ...QEMU_NBD_SERVERS,
];

/**
 * Each peer in its best forms, as measured with `--servers all` (2026-11-21): nbdkit with one
 * thread costs a fifth less than with its 16, but answers one request at a time; fadvise changes
 * nothing for cached files, cache=none and qemu-nbd's threads are slower.
 */
export const DEFAULT_SERVERS: readonly string[] = [
  "penstock",
  "nbdkit",
  "nbdkit-1-thread",
  "qemu-nbd",
];
