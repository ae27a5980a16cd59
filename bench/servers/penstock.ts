/** Penstock as a server of the bench: one pipe, from this tree. Stateless. */

import { join } from "node:path";

import type { Backing, ServerAdapter } from "./server.ts";

const PENSTOCK = join(import.meta.dirname, "../../bin/penstock");

/** bin/penstock becomes Node by exec: pid and pinning are the server's. */
export const PENSTOCK_SERVER: ServerAdapter = {
  name: "penstock",
  isPenstock: true,
  tools: [],
  versionCommand: [PENSTOCK, "--version"],
  hasMemoryDisk: true,
  command: (backing) => ({
    program: PENSTOCK,
    args: ["pipe", "run", `${sourceOf(backing)} | nbd://127.0.0.1:0/bench`],
    uri: null,
  }),
};

function sourceOf(backing: Backing): string {
  // URIs take sizes with a unit; every size of the bench is whole in mebibytes.
  return backing.kind === "memory"
    ? `malloc:///bench?size=${backing.sizeBytes / 2 ** 20}MiB`
    : `file://${backing.path}`;
}
