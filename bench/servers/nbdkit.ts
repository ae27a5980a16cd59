/**
 * nbdkit as a server of the bench, with its memory and file plugins. Stateless.
 *
 * spec: nbdkit-memory-plugin(1): `allocator=malloc` "can be faster because the implementation is
 * simpler and the locking strategy allows more concurrency".
 */

import type { Backing, ServerAdapter } from "./server.ts";

/** `threads` null: nbdkit's own choice, 16 per connection. */
function nbdkit(
  name: string,
  threads: number | null,
  fileArgs: readonly string[] = [],
): ServerAdapter {
  return {
    name,
    isPenstock: false,
    tools: ["nbdkit"],
    versionCommand: ["nbdkit", "--version"],
    hasMemoryDisk: true,
    command: (backing, port) => ({
      program: "nbdkit",
      args: [
        "--foreground",
        "--ipaddr=127.0.0.1",
        `--port=${port}`,
        ...(threads === null ? [] : [`--threads=${threads}`]),
        ...pluginArgs(backing, fileArgs),
      ],
      uri: `nbd://127.0.0.1:${port}/`,
    }),
  };
}

function pluginArgs(backing: Backing, fileArgs: readonly string[]): readonly string[] {
  return backing.kind === "memory"
    ? ["memory", `size=${backing.sizeBytes}`, "allocator=malloc"]
    : ["file", `file=${backing.path}`, ...fileArgs];
}

export const NBDKIT_SERVERS: readonly ServerAdapter[] = [
  nbdkit("nbdkit", null),
  nbdkit("nbdkit-1-thread", 1),
  nbdkit("nbdkit-4-threads", 4),
  nbdkit("nbdkit-random", null, ["fadvise=random"]),
  nbdkit("nbdkit-sequential", null, ["fadvise=sequential"]),
  nbdkit("nbdkit-uncached", null, ["cache=none"]),
];
