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

/** Each peer in the form that was best when all forms were measured; `--servers all` has all. */
export const DEFAULT_SERVERS: readonly string[] = ["penstock", "nbdkit", "qemu-nbd"];
