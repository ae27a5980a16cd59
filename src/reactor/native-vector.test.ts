// Tests of what becomes of a vector's memory. What vectors do is tested with the Io.

import { ok } from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextRound } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { probeCapabilities } from "../sys/capabilities.ts";

const { ffi } = await probeCapabilities();

test("the memory of vectors that nobody has is used again", {
  skip: ffi.available ? false : ffi.reason,
}, async () => {
  const { NativeVector } = await import("./native-vector.ts");
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const makeAddresses = (): number[] =>
    Array.from({ length: 100 }, () => new NativeVector(64).headerAddress);
  const kept = new NativeVector(64);
  const first = makeAddresses();
  ok(!first.includes(kept.headerAddress));
  collectGarbage();
  await nextRound();
  await nextRound();
  const second = makeAddresses();
  ok(second.filter((address) => first.includes(address)).length > 50);
  ok(!second.includes(kept.headerAddress));
});
