/** qemu-io as a client: patterns, FUA, zeroes, discards, odd offsets, overlapping requests. */

import assert from "node:assert/strict";

import { forEachExport } from "../../src/testing/export-matrix.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";

const SKIP = missingTools("qemu-io");

/** Each run of commands on a connection of its own; the next one sees what the last one left. */
const SESSIONS: readonly (readonly string[])[] = [
  [
    "write -P 0x11 0 1M",
    "write -f -P 0x22 1M 64k",
    "write -P 0x33 3000001 777",
    "write -f -P 0x44 511 2",
    "flush",
  ],
  [
    "read -P 0x11 0 511",
    "read -P 0x44 511 2",
    "read -P 0x11 513 1048063",
    "read -P 0x22 1M 64k",
    "read -P 0 3000000 1",
    "read -P 0x33 3000001 777",
    "read -P 0 3000778 1000",
  ],
  [
    "write -z 64k 64k",
    "write -z -u 128k 64k",
    "write -z -f 200001 333",
    "write -z -u -f 256k 4k",
    "discard 1M 32k",
    "flush",
  ],
  [
    "read -P 0x11 4k 60k",
    "read -P 0 64k 64k",
    "read -P 0 128k 64k",
    "read -P 0x11 192k 3k",
    "read -P 0 200001 333",
    "read -P 0 256k 4k",
    "read -P 0x22 1081344 32k",
  ],
  // Many at once, overlapping on purpose only where the pattern is the same.
  [
    ...Array.from({ length: 32 }, (_, index) => `aio_write -P 0x55 ${8388608 + index * 8192} 12k`),
    "aio_flush",
    "read -P 0x55 8M 256k",
    "writev -P 0x66 10M 4k 512 8k 1k",
    "readv -P 0x66 10M 1k 8k 512 4k",
    "write -P 0x77 15M 1M",
    "read -P 0x77 16776704 512",
  ],
];

forEachExport("qemu-io", { skip: SKIP }, async (t, { uri }) => {
  for (const [index, commands] of SESSIONS.entries()) {
    await t.test(`session ${index + 1}`, async () => {
      const args = commands.flatMap((command) => ["-c", command]);
      const { stdout } = await runCommand("qemu-io", ["-f", "raw", "-d", "unmap", ...args, uri]);
      // A pattern that does not match is printed and, in some versions, nothing more.
      assert.doesNotMatch(stdout, /Pattern verification failed|failed|error/i);
    });
  }
  await t.test("beyond the end", async () => {
    const { stdout, stderr } = await runCommand(
      "qemu-io",
      ["-f", "raw", "-c", "read 16M 512", "-c", "write 16776961 512", uri],
      { exitCode: "any" },
    );
    assert.match(stdout + stderr, /error|failed|past end/i);
  });
});
