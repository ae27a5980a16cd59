// Tests of the portable level: the suite of every level, and what only this one promises.

import { rejects, strictEqual } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { makeLoopDevice } from "../testing/loop-device.ts";
import { missingTools } from "../testing/require-tool.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { ioConformance } from "./io-conformance.ts";
import { PortableIo } from "./portable-io.ts";

ioConformance("portable", () => PortableIo.create());

test("PortableIo refuses direct I/O in clear words", async (t) => {
  const io = PortableIo.create();
  const path = `${makeTempDir(t)}/x.img`;
  await rejects(io.openFile({ path, write: true, direct: true, createSizeBytes: 4096 }), {
    code: "unsupported",
    message: /x\.img.*direct/,
  });
  await io.close();
});

const skipLoop = missingTools("root", "losetup");
test("PortableIo opens a block device with its size and block size", {
  skip: skipLoop,
}, async (t) => {
  for (const sectorBytes of [512, 4096] as const) {
    const device = await makeLoopDevice(t, { sizeBytes: 8 * 1024 * 1024, sectorBytes });
    const io = PortableIo.create();
    const opened = await io.openFile({ path: device.path, write: true });
    strictEqual(opened.isBlockDevice, true);
    strictEqual(opened.sizeBytes, 8 * 1024 * 1024);
    strictEqual(opened.logicalBlockBytes, sectorBytes);
    await rejects(io.openFile({ path: device.path, write: true }), { code: "claimed" });
    await io.close();
    const again = PortableIo.create();
    const wrong = { path: device.path, write: true, createSizeBytes: 4096 };
    await rejects(again.openFile(wrong), { code: "size-mismatch" });
    await again.close();
  }
});

test("a process ends when its PortableIo is closed with everything left open", (t) => {
  const url = JSON.stringify(new URL("./portable-io.ts", import.meta.url).href);
  const path = JSON.stringify(`${makeTempDir(t)}/left.img`);
  const script = `
    import { PortableIo } from ${url};
    const io = PortableIo.create();
    await io.openFile({ path: ${path}, write: true, createSizeBytes: 4096 });
    const listener = await io.listen({ kind: "tcp", host: "127.0.0.1", port: 0 }, () => {});
    await io.connect(listener.address);
    io.clock.startTimer(3_600_000, () => {});
    await io.close();
    console.log("closed");
  `;
  const args = ["--input-type=module", "-e", script];
  const result = spawnSync(process.execPath, args, { timeout: 30_000, encoding: "utf8" });
  strictEqual(result.stdout, "closed\n", result.stderr);
  strictEqual(result.status, 0, result.stderr);
});
