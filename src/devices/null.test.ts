// Tests of null: the suite of every device, for one that keeps nothing.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { deviceConformance } from "../block/conformance.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { NullDevice } from "./null.ts";

const OPTIONS = { name: "test", sizeBytes: 2 ** 40 };

deviceConformance("null", ({ reactor }) => NullDevice.open(reactor, OPTIONS), {
  keepsData: false,
  openReadOnly: ({ reactor }) => NullDevice.open(reactor, { ...OPTIONS, readOnly: true }),
});

test("null states its size exactly when its name is built", () =>
  withReactor("fake", async ({ reactor }) => {
    for (const [sizeBytes, name] of [
      [2 ** 40, "null:///a?size=1TiB"],
      [1536, "null:///a?size=1536B"],
      [3 * 2 ** 20 + 1024, "null:///a?size=3073KiB"],
    ] as const) {
      const device = await NullDevice.open(reactor, { name: "a", sizeBytes });
      strictEqual(device.info.name, name);
    }
  }));
