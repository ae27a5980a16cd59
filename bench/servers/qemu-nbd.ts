/** qemu-nbd as a server of the bench. It has no memory disk and gets a file on tmpfs. Stateless. */

import type { ServerAdapter } from "./server.ts";

const CONNECTIONS_MAX = 8;

function qemuNbd(name: string, aio: "threads" | "io_uring"): ServerAdapter {
  return {
    name,
    isPenstock: false,
    tools: ["qemu-nbd"],
    versionCommand: ["qemu-nbd", "--version"],
    hasMemoryDisk: false,
    command: (backing, port) => {
      if (backing.kind !== "file") throw new Error("qemu-nbd serves files only");
      const args = [
        "--format=raw",
        "--cache=writeback",
        `--aio=${aio}`,
        `--shared=${CONNECTIONS_MAX}`,
        "--persistent",
        "--bind=127.0.0.1",
        `--port=${port}`,
        backing.path,
      ];
      return { program: "qemu-nbd", args, uri: `nbd://127.0.0.1:${port}/` };
    },
  };
}

export const QEMU_NBD_SERVERS: readonly ServerAdapter[] = [
  qemuNbd("qemu-nbd", "io_uring"),
  qemuNbd("qemu-nbd-threads", "threads"),
];
