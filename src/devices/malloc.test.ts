// Tests of malloc: the suite of every device, and what only memory promises.

import { rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { deviceConformance } from "../block/conformance.ts";
import { TEST_LEVELS, type TestReactor, withReactor } from "../reactor/test-reactor.ts";
import { MallocDevice, type MallocOptions } from "./malloc.ts";

const OPTIONS: MallocOptions = {
  name: "test",
  sizeBytes: 16 * 1024 * 1024 + 4096,
  instanceId: "11111111-2222-4333-8444-555555555555",
};

const open =
  (extra: Partial<MallocOptions> = {}) =>
  ({ reactor }: TestReactor) =>
    MallocDevice.open(reactor, { ...OPTIONS, ...extra });

deviceConformance("malloc", open(), {
  openReadOnly: open({ readOnly: true }),
  levels: TEST_LEVELS,
});
deviceConformance("malloc of 4096-byte blocks", open({ blockSizeBytes: 4096 }));

test("malloc refuses sizes and blocks that make no sense", () =>
  withReactor("fake", async ({ reactor }) => {
    for (const sizeBytes of [0, -4096, 513, Number.NaN, 2 ** 53]) {
      const opening = MallocDevice.open(reactor, { ...OPTIONS, sizeBytes });
      await rejects(opening, { code: "size-invalid" }, `${sizeBytes}`);
    }
    const blocks = MallocDevice.open(reactor, { ...OPTIONS, blockSizeBytes: 1024 });
    await rejects(blocks, { code: "block-size-invalid" });
  }));

test("malloc gives all its slabs back when it closes or cannot have all", () =>
  withReactor("fake", async ({ reactor }) => {
    const slabs = reactor.io.slabs as unknown as { readonly allocatedBytes: number };
    const before = slabs.allocatedBytes;
    const device = await MallocDevice.open(reactor, { ...OPTIONS, sizeBytes: 3 * 2 ** 30 });
    strictEqual(slabs.allocatedBytes - before, 3 * 2 ** 30);
    const tooLarge = { ...OPTIONS, sizeBytes: 20 * 2 ** 30 };
    await rejects(MallocDevice.open(reactor, tooLarge), { code: "out-of-memory" });
    await device.close();
    strictEqual(slabs.allocatedBytes, before);
  }));
