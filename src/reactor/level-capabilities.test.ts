// Tests of the table of levels: each level's exact list, and that a level does what it says.

import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { join } from "node:path";
import { probeCapabilities } from "../sys/capabilities.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { Errno } from "./errno.ts";
import { AllocateMode, type Io, IoOp } from "./io.ts";
import {
  type Capability,
  LEVEL_CAPABILITIES,
  levelCan,
  REAL_LEVELS,
} from "./level-capabilities.ts";
import { chooseLevel, levelFor, openIo } from "./open-io.ts";
import { TEST_LEVELS } from "./test-reactor.ts";

const FILE_BYTES = 64 * 1024;
const HERE = REAL_LEVELS.filter((level) => TEST_LEVELS.includes(level));

test("each level has exactly these capabilities", () => {
  const native = [
    "several-reactors",
    "direct-io",
    "discard-punches",
    "fast-zeroes",
    "hole-map",
    "per-write-durability",
    "file-locks",
    "adaptive-polling",
  ];
  deepStrictEqual(LEVEL_CAPABILITIES, {
    uring: [...native, "kernel-queue"],
    posix: native,
    portable: [],
  });
});

class AwaitedOp extends IoOp {
  #resolve: (result: number) => void = () => undefined;

  run(start: () => void): Promise<number> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      start();
    });
  }

  override complete(result: number): void {
    const resolve = this.#resolve;
    setImmediate(() => resolve(result));
  }
}

async function withFile(
  t: TestContext,
  io: Io,
  body: (op: AwaitedOp, file: number) => Promise<void>,
): Promise<void> {
  const path = join(makeTempDir(t), "a.img");
  const opened = await io.openFile({ path, write: true, createSizeBytes: FILE_BYTES });
  const op = new AwaitedOp();
  io.attach(op);
  await body(op, opened.file);
  io.detach(op);
  await io.closeFile(opened.file);
  await io.close();
}

for (const level of HERE) {
  const says = (capability: Capability): boolean => levelCan(level, capability);

  test(`holes, zeroes and the hole map work as the table says, at ${level}`, async (t) => {
    const io = await openIo({ level });
    io.setTurnHandler({ runTurn: () => false });
    await withFile(t, io, async (op, file) => {
      const no = -Errno.EOPNOTSUPP;
      const { punch, zero } = AllocateMode;
      const punched = await op.run(() => io.allocate(op, file, punch, 0, 4096));
      strictEqual(punched, says("discard-punches") ? 0 : no);
      const zeroed = await op.run(() => io.allocate(op, file, zero, 0, 4096));
      strictEqual(zeroed, says("fast-zeroes") ? 0 : no);
      const hole = await op.run(() => io.seek(op, file, 8192, "hole"));
      strictEqual(hole, says("hole-map") ? 8192 : no);
    });
  });

  test(`direct I/O is refused where the table does not say so, at ${level}`, async (t) => {
    if (says("direct-io")) return;
    const io = await openIo({ level });
    const path = join(makeTempDir(t), "a.img");
    const opening = io.openFile({ path, write: true, direct: true, createSizeBytes: FILE_BYTES });
    await rejects(opening, { code: "unsupported" });
    await io.close();
  });

  test(`several reactors go with wake handles, at ${level}`, async () => {
    const io = await openIo({ level });
    strictEqual(io.wakeHandle !== undefined, says("several-reactors"));
    await io.close();
  });
}

test("levelFor takes the best there is, and says what is missing when one is forced", () => {
  const yes = { available: true, reason: "" };
  const no = { available: false, reason: "forbidden here" };
  strictEqual(levelFor("auto", { ffi: yes, ioUring: yes }), "uring");
  strictEqual(levelFor("auto", { ffi: yes, ioUring: no }), "posix");
  strictEqual(levelFor("auto", { ffi: no, ioUring: no }), "portable");
  strictEqual(levelFor("posix", { ffi: yes, ioUring: yes }), "posix");
  strictEqual(levelFor("posix", { ffi: yes, ioUring: no }), "posix");
  strictEqual(levelFor("portable", { ffi: yes, ioUring: yes }), "portable");
  throws(() => levelFor("uring", { ffi: yes, ioUring: no }), {
    code: "level-unavailable",
    message: /level uring .*io_uring: forbidden here.*--io posix/,
  });
  for (const choice of ["uring", "posix"] as const) {
    throws(() => levelFor(choice, { ffi: no, ioUring: no }), {
      code: "level-unavailable",
      message: new RegExp(`level ${choice} .*node:ffi: forbidden here.*--io portable`),
    });
  }
});

test("chooseLevel gives the level that is forced", async () => {
  for (const level of HERE) strictEqual(await chooseLevel(level), level);
});

test("probeCapabilities leaves a reason for all that is not available", async () => {
  const { ffi, ioUring } = await probeCapabilities();
  for (const { available, reason } of [ffi, ioUring]) ok(available === (reason === ""), reason);
  ok(ffi.available || !ioUring.available, "io_uring is reached through FFI");
});
