// Growing a pipe that runs: what stands on the source, data on both sides of the old end, refusals.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { statSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { PromiseDevice } from "../block/promise-device.ts";
import { TEST_LEVELS, withReactor } from "../reactor/test-reactor.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { Branch } from "./branch.ts";
import { planPipe } from "./pipe-plan.ts";
import { resizeBranch } from "./resize.ts";

const MIB = 2 ** 20;

async function openBranch(reactor: Reactor, text: string): Promise<Branch> {
  const { branch } = planPipe(`${text} | nbd:///x`);
  return await Branch.open(branch, { reactor, holder: "test", instanceSeed: "3f1c" });
}

for (const level of TEST_LEVELS) {
  test(`resizeBranch grows a file and what stands on it, at ${level}`, (t) =>
    withReactor(level, async ({ reactor }) => {
      const path = level === "fake" ? "/grow.img" : `${makeTempDir(t)}/grow.img`;
      const filters = "limit?iops=100000 | slice?offset=1MiB | log";
      const branch = await openBranch(reactor, `file://${path}?size=2MiB | ${filters}`);
      const device = branch.top.above;
      const client = new PromiseDevice(device);
      await client.writeAt(MIB - 4096, new Uint8Array(4096).fill(7));
      await rejects(client.readAt(MIB, 4096), { code: "out-of-range" });
      await resizeBranch(branch, 4 * MIB);
      strictEqual(device.info.sizeBytes, 3 * MIB);
      const sizes = branch.stages.map((stage) => stage.device.info.sizeBytes);
      deepStrictEqual(sizes, [4 * MIB, 4 * MIB, 3 * MIB, 3 * MIB]);
      const bytes = await client.readAt(MIB - 4096, 8192);
      ok(bytes.every((byte, at) => byte === (at < 4096 ? 7 : 0)));
      await client.writeAt(3 * MIB - 4096, new Uint8Array(4096).fill(9));
      strictEqual(branch.text.split(" | ")[0], `file://${path}?size=4194304B`);
      if (level !== "fake") strictEqual(statSync(path).size, 4 * MIB);
      await client.close();
      await branch.close();
      const again = await openBranch(reactor, `file://${path}`);
      strictEqual(again.top.device.info.sizeBytes, 4 * MIB);
      await again.close();
    }));
}

test("resizeBranch keeps what somebody else has put behind the end", (t) =>
  withReactor("uring", async ({ reactor }) => {
    const path = `${makeTempDir(t)}/longer.img`;
    const branch = await openBranch(reactor, `file://${path}?size=1MiB`);
    writeFileSync(path, new Uint8Array(2 * MIB).fill(5));
    await resizeBranch(branch, 2 * MIB);
    const client = new PromiseDevice(branch.top.above);
    ok((await client.readAt(2 * MIB - 4096, 4096)).every((byte) => byte === 5));
    await client.close();
    await branch.close();
  }));

test("resizeBranch refuses what cannot grow, and changes nothing", (t) =>
  withReactor("uring", async ({ reactor }) => {
    const path = `${makeTempDir(t)}/x.img`;
    const cases = [
      ["malloc:///a?size=1MiB", 2 * MIB, "resize-unsupported"],
      [`mirror(file://${path}?size=1MiB)`, 2 * MIB, "resize-unsupported"],
      [`file://${path}?size=1MiB`, MIB - 4096, "size-invalid"],
      [`file://${path}?size=1MiB&blocksize=4096`, MIB + 512, "size-invalid"],
      [`file://${path}?readonly=1`, 2 * MIB, "resize-unsupported"],
    ] as const;
    for (const [text, sizeBytes, code] of cases) {
      const branch = await openBranch(reactor, text);
      const before = branch.text;
      await rejects(resizeBranch(branch, sizeBytes), { code }, text);
      strictEqual(branch.text, before);
      strictEqual(branch.top.above.info.sizeBytes, MIB);
      await branch.close();
    }
  }));

test("resizeBranch leaves a slice with a length as it is", (t) =>
  withReactor("uring", async ({ reactor }) => {
    const path = `${makeTempDir(t)}/x.img`;
    const branch = await openBranch(reactor, `file://${path}?size=1MiB | slice?length=512KiB`);
    await resizeBranch(branch, 2 * MIB);
    strictEqual(branch.top.above.info.sizeBytes, MIB / 2);
    await branch.close();
  }));
