/**
 * Conformance of an Io: opening files, their sizes and claims. Each function is one test.
 */

import { notStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { rmSync, statSync } from "node:fs";
import { faultMarkPath } from "../fault-marks.ts";
import type { OpenedFile } from "../io.ts";
import type { Harness } from "./harness.ts";

const MIB = 1024 * 1024;
/** Read-only for everybody, root too. */
const FORBIDDEN_PATH = "/sys/kernel/fscaps";

export async function createsFileOfAskedSize(h: Harness): Promise<void> {
  const opened = await h.create("new.img", 3 * MIB);
  checkFacts(opened, 3 * MIB);
  const slab = h.slab(4096);
  slab.bytes.fill(0xff);
  const { file } = opened;
  const at = 3 * MIB - 4096;
  strictEqual(await h.run((op) => h.io.read(op, file, slab, 0, 4096, at)), 4096);
  ok(slab.bytes.every((byte) => byte === 0));
}

function checkFacts(opened: OpenedFile, sizeBytes: number): void {
  strictEqual(opened.sizeBytes, sizeBytes);
  strictEqual(opened.isBlockDevice, false);
  strictEqual(opened.alignmentBytes, 1);
  strictEqual(opened.logicalBlockBytes, 512);
  ok(opened.physicalBlockBytes >= 512);
  ok(opened.identity.length > 0);
  ok(opened.bootId.length > 0);
}

export async function createsSparseFile(h: Harness): Promise<void> {
  await h.create("sparse.img", 64 * MIB);
  ok(statSync(h.path("sparse.img")).blocks * 512 < MIB, "a new file takes no space");
}

export async function growsSmallerFile(h: Harness): Promise<void> {
  const small = await h.create("grow.img", 8192);
  const slab = h.slab(4096);
  slab.bytes.fill(7);
  strictEqual(await h.run((op) => h.io.write(op, small.file, slab, 0, 4096, 4096, true)), 4096);
  await h.closeFile(small.file);
  const large = await h.create("grow.img", MIB);
  strictEqual(large.sizeBytes, MIB);
  strictEqual(large.identity, small.identity);
  slab.bytes.fill(1);
  strictEqual(await h.run((op) => h.io.read(op, large.file, slab, 0, 4096, 4096)), 4096);
  ok(slab.bytes.every((byte) => byte === 7));
}

export async function sizeIsThatOfNow(h: Harness): Promise<void> {
  const { file } = await h.create("longer.img", 8192);
  strictEqual(await h.io.sizeOfFile(file), 8192);
  // Whoever makes it longer: what was said when it was opened is old.
  const slab = h.slab(4096);
  strictEqual(await h.run((op) => h.io.write(op, file, slab, 0, 4096, MIB, false)), 4096);
  strictEqual(await h.io.sizeOfFile(file), MIB + 4096);
}

export async function refusesToShrink(h: Harness): Promise<void> {
  const large = await h.create("large.img", MIB);
  await h.closeFile(large.file);
  await rejects(h.create("large.img", 8192), (error: unknown) => {
    const { code, message } = error as { code: string; message: string };
    strictEqual(code, "size-mismatch");
    ok(message.includes("1048576") && message.includes("8192"), message);
    return true;
  });
  const again = await h.open({ path: h.path("large.img"), write: false });
  strictEqual(again.sizeBytes, MIB);
}

export async function opensWithoutSize(h: Harness): Promise<void> {
  const created = await h.create("plain.img", 12_345);
  await h.closeFile(created.file);
  const opened = await h.open({ path: h.path("plain.img"), write: true });
  strictEqual(opened.sizeBytes, 12_345);
}

export async function missingFileIsNotFound(h: Harness): Promise<void> {
  for (const write of [false, true]) {
    const path = h.path("missing.img");
    await rejects(h.open({ path, write }), { code: "not-found", message: /missing\.img/ });
  }
}

export async function directoryIsInvalid(h: Harness): Promise<void> {
  const path = h.path(".");
  await rejects(h.open({ path, write: false }), { code: "invalid-file" });
  await rejects(h.open({ path, write: true }), { code: "invalid-file" });
  await rejects(h.open({ path: "/dev/zero", write: false }), { code: "invalid-file" });
}

export async function forbiddenFileIsPermissionDenied(h: Harness): Promise<void> {
  await rejects(h.open({ path: FORBIDDEN_PATH, write: true }), {
    code: "permission-denied",
    message: new RegExp(FORBIDDEN_PATH),
  });
}

export async function identityTellsFilesApart(h: Harness): Promise<void> {
  const one = await h.create("one.img", 4096);
  const other = await h.create("other.img", 4096);
  notStrictEqual(one.identity, other.identity);
  strictEqual(one.bootId, other.bootId);
}

export async function faultsAreRemembered(h: Harness): Promise<void> {
  const other = await h.create("good.img", 4096);
  const { identity, faultCount, file } = await h.create("faulty.img", 4096);
  h.io.noteFault(identity);
  await h.closeFile(file);
  const again = await h.open({ path: h.path("faulty.img"), write: true });
  rmSync(faultMarkPath(identity), { force: true });
  strictEqual(again.faultCount, faultCount + 1);
  await h.closeFile(again.file);
  await h.closeFile(other.file);
  const still = await h.open({ path: h.path("good.img"), write: true });
  strictEqual(still.faultCount, other.faultCount);
  await h.closeFile(still.file);
}

export async function writerExcludesOthers(h: Harness): Promise<void> {
  const path = h.path("claimed.img");
  const holder = "pipe vol1";
  const first = await h.open({ path, write: true, createSizeBytes: 4096, holder });
  for (const write of [true, false]) {
    await rejects(h.open({ path, write, holder: "second" }), {
      code: "claimed",
      message: /pipe vol1/,
    });
  }
  await h.closeFile(first.file);
  const second = await h.open({ path, write: true, holder: "second" });
  await rejects(h.open({ path, write: true }), { code: "claimed", message: /second/ });
  await h.closeFile(second.file);
}

export async function sharedWritersKeepOthersOut(h: Harness): Promise<void> {
  const path = h.path("two.img");
  const options = { path, write: true, shared: true };
  const one = await h.open({ ...options, createSizeBytes: 4096 });
  const other = await h.open(options);
  await rejects(h.open({ path, write: true }), { code: "claimed" });
  await h.closeFile(one.file);
  await rejects(h.open({ path, write: true }), { code: "claimed" });
  await h.closeFile(other.file);
  const alone = await h.open({ path, write: true, holder: "pipe vol1" });
  await rejects(h.open(options), { code: "claimed", message: /pipe vol1/ });
  await h.closeFile(alone.file);
}

export async function readersShareAndKeepWritersOut(h: Harness): Promise<void> {
  const path = h.path("shared.img");
  const made = await h.create("shared.img", 4096);
  await h.closeFile(made.file);
  const one = await h.open({ path, write: false });
  const other = await h.open({ path, write: false });
  await rejects(h.open({ path, write: true }), { code: "claimed" });
  await h.closeFile(one.file);
  await rejects(h.open({ path, write: true }), { code: "claimed" });
  await h.closeFile(other.file);
  await h.open({ path, write: true });
}

/** Where direct I/O is there it works, elsewhere it is refused in clear words. */
export async function directIsThereOrRefused(h: Harness): Promise<void> {
  const path = h.path("direct.img");
  let opened: OpenedFile;
  try {
    opened = await h.open({ path, write: true, direct: true, createSizeBytes: 64 * 1024 });
  } catch (error) {
    strictEqual((error as { code: string }).code, "unsupported");
    return;
  }
  const { file, alignmentBytes } = opened;
  ok(alignmentBytes >= 512 && alignmentBytes <= 4096);
  const slab = h.slab(16 * 1024);
  h.prng.fill(slab.bytes);
  const wanted = slab.bytes.slice(0, 8192);
  strictEqual(await h.run((op) => h.io.write(op, file, slab, 0, 8192, 4096, false)), 8192);
  slab.bytes.fill(0);
  strictEqual(await h.run((op) => h.io.read(op, file, slab, 4096, 8192, 4096)), 8192);
  strictEqual(Buffer.compare(slab.bytes.subarray(4096, 4096 + 8192), wanted), 0);
}
