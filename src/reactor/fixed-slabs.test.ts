// Tests that what the kernel keeps hold of is what everybody sees, and that it does without.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { cleanUp } from "../testing/cleanup.ts";
import { missingTools } from "../testing/require-tool.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { BufferPool } from "./buffer-pool.ts";
import { CallbackOp } from "./callback-op.ts";
import type { NativeIo } from "./native-io.ts";
import { PosixIo } from "./posix-io.ts";
import { Reactor } from "./reactor.ts";
import { createSharedSlabTable } from "./slab-space-shared.ts";
import type { Slab } from "./slab.ts";
import { TEST_LEVELS } from "./test-reactor.ts";
import { UringIo } from "./uring-io.ts";

const MIB = 1024 * 1024;
const BLOCK = 4096;

/** Memory that the kernel keeps hold of for this process. */
function pinnedKib(): number {
  const match = /^VmPin:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"));
  return Number(match?.[1]);
}

interface Place {
  readonly io: NativeIo;
  readonly file: number;
  readonly read: (slab: Slab, offset: number, position: number) => Promise<number>;
  readonly write: (slab: Slab, offset: number, position: number) => Promise<number>;
}

/** An Io with a file of 16 blocks, block n full of n + 1. */
async function makePlace(t: TestContext, io: NativeIo, direct = true): Promise<Place> {
  new Reactor({ id: 0, io });
  // Not below /dev/shm or the like: memory has no direct I/O.
  const path = `${makeTempDir(t)}/disk.img`;
  const content = Buffer.alloc(16 * BLOCK);
  for (let at = 0; at < content.length; at += BLOCK) content.fill(at / BLOCK + 1, at, at + BLOCK);
  writeFileSync(path, content);
  const { file } = await io.openFile({ path, write: true, direct });
  cleanUp(t, async () => {
    await io.closeFile(file);
    await io.close();
  });
  const run = (start: (op: CallbackOp) => void): Promise<number> =>
    new Promise((resolve) => {
      const op = new CallbackOp((result) => {
        io.defer(() => {
          io.detach(op);
          resolve(result);
        });
      });
      io.attach(op);
      start(op);
    });
  return {
    io,
    file,
    read: (slab, offset, position) => run((op) => io.read(op, file, slab, offset, BLOCK, position)),
    write: (slab, offset, position) =>
      run((op) => io.write(op, file, slab, offset, BLOCK, position, false)),
  };
}

const skip = TEST_LEVELS.includes("uring") ? false : "no io_uring here";

function isFullOf(slab: Slab, offset: number, value: number): boolean {
  return slab.bytes.subarray(offset, offset + BLOCK).every((byte) => byte === value);
}

test("slabs of direct I/O are fixed, until they are released", { skip }, async (t) => {
  const place = await makePlace(t, new UringIo());
  const { slabs } = place.io;
  const before = pinnedKib();
  const slab = slabs.allocate(MIB);
  assert.equal(await place.read(slab, BLOCK, 2 * BLOCK), BLOCK);
  assert.ok(isFullOf(slab, BLOCK, 3));
  assert.equal(pinnedKib() - before, 1024);
  slab.bytes.fill(77, 0, BLOCK);
  assert.equal(await place.write(slab, 0, 5 * BLOCK), BLOCK);
  assert.equal(await place.read(slab, 2 * BLOCK, 5 * BLOCK), BLOCK);
  assert.ok(isFullOf(slab, 2 * BLOCK, 77));
  slabs.release(slab);
  assert.equal(pinnedKib(), before);
  // The same memory with other pages: they must be what is read and written now.
  const again = slabs.allocate(MIB);
  assert.equal(again.id, slab.id);
  assert.ok(isFullOf(again, BLOCK, 0));
  assert.equal(await place.read(again, BLOCK, 3 * BLOCK), BLOCK);
  assert.ok(isFullOf(again, BLOCK, 4));
  again.bytes.fill(78, 0, BLOCK);
  assert.equal(await place.write(again, 0, 6 * BLOCK), BLOCK);
  assert.equal(await place.read(again, 2 * BLOCK, 6 * BLOCK), BLOCK);
  assert.ok(isFullOf(again, 2 * BLOCK, 78));
  await place.io.close();
  // Without a ring there is nothing to let go of, and its number may be another file's.
  slabs.release(again);
});

test("slabs of a trimmed pool are fixed anew", { skip }, async (t) => {
  const place = await makePlace(t, new UringIo());
  const pool = new BufferPool(place.io.slabs, { limitBytes: 4 * MIB });
  for (let round = 0; round < 5; round++) {
    const taken = [pool.acquire(BLOCK), pool.acquire(MIB)];
    for (const [index, buffer] of taken.entries()) {
      assert.ok(buffer !== null);
      const block = (round * 2 + index) % 16;
      assert.equal(await place.read(buffer.slab, buffer.offset, block * BLOCK), BLOCK);
      assert.ok(isFullOf(buffer.slab, buffer.offset, block + 1), `round ${round}`);
      buffer.release();
    }
    pool.trim();
  }
});

test("slabs that another space empties are not fixed", { skip }, async (t) => {
  const slabTable = createSharedSlabTable();
  const place = await makePlace(t, new UringIo({ slabTable }));
  const other = new UringIo({ slabTable });
  new Reactor({ id: 1, io: other });
  cleanUp(t, () => other.close());
  const before = pinnedKib();
  const theirs = other.slabs.allocate(MIB);
  for (const block of [1, 2]) {
    const seen = place.io.slabs.get(theirs.id);
    assert.equal(await place.read(seen, 0, block * BLOCK), BLOCK);
    assert.ok(isFullOf(theirs, 0, block + 1));
    other.slabs.release(theirs);
    assert.equal(other.slabs.allocate(MIB).id, theirs.id);
  }
  assert.equal(pinnedKib(), before);
  assert.throws(() => place.io.slabs.release(place.io.slabs.get(theirs.id)), /assertion/i);
});

test("slabs are not fixed for cached files, small or large ones never", { skip }, async (t) => {
  const before = pinnedKib();
  const cached = await makePlace(t, new UringIo(), false);
  assert.equal(await cached.read(cached.io.slabs.allocate(MIB), 0, 0), BLOCK);
  const direct = await makePlace(t, new UringIo());
  for (const lengthBytes of [BLOCK, 2 * MIB]) {
    const slab = direct.io.slabs.allocate(lengthBytes);
    assert.equal(await direct.read(slab, 0, BLOCK), BLOCK);
    assert.ok(isFullOf(slab, 0, 2));
  }
  assert.equal(pinnedKib(), before);
});

test("slabs beyond the kernel's numbers do without, and get those that come free", {
  skip,
}, async (t) => {
  const place = await makePlace(t, new UringIo());
  const before = pinnedKib();
  const slabs = Array.from({ length: 260 }, () => place.io.slabs.allocate(64 * 1024));
  for (const [index, slab] of slabs.entries()) {
    assert.equal(await place.read(slab, 0, (index % 16) * BLOCK), BLOCK);
    assert.ok(isFullOf(slab, 0, (index % 16) + 1));
  }
  assert.equal(pinnedKib() - before, 256 * 64);
  for (const slab of slabs.slice(0, 8)) place.io.slabs.release(slab);
  const later = Array.from({ length: 4 }, () => place.io.slabs.allocate(64 * 1024));
  for (const slab of later) assert.equal(await place.read(slab, 0, 9 * BLOCK), BLOCK);
  for (const slab of later) assert.ok(isFullOf(slab, 0, 10));
  assert.equal(pinnedKib() - before, 252 * 64);
});

test("a slab is released with a read prepared and not yet begun", { skip }, async (t) => {
  const place = await makePlace(t, new UringIo());
  const { io } = place;
  const [first, second] = [io.slabs.allocate(MIB), io.slabs.allocate(MIB)];
  await place.read(first, 0, 0);
  second.bytes.fill(99);
  // Its number goes to the second slab before anything is submitted: not a byte may go there.
  const reading = place.read(first, 0, 7 * BLOCK);
  io.slabs.release(first);
  const next = place.read(second, BLOCK, 8 * BLOCK);
  assert.equal(await reading, BLOCK);
  assert.equal(await next, BLOCK);
  assert.ok(isFullOf(second, 0, 99));
  assert.ok(isFullOf(second, BLOCK, 9));
});

test("slabs are not fixed at posix", { skip }, async (t) => {
  const place = await makePlace(t, new PosixIo());
  const before = pinnedKib();
  const slab = place.io.slabs.allocate(MIB);
  assert.equal(await place.read(slab, 0, BLOCK), BLOCK);
  assert.ok(isFullOf(slab, 0, 2));
  assert.equal(pinnedKib(), before);
  place.io.slabs.release(slab);
});

const SCRIPT = `
import { readFileSync } from "node:fs";
import { UringIo } from "${import.meta.dirname}/uring-io.ts";
import { Reactor } from "${import.meta.dirname}/reactor.ts";
import { CallbackOp } from "${import.meta.dirname}/callback-op.ts";
const io = new UringIo();
new Reactor({ id: 0, io });
const { file } = await io.openFile({ path: process.argv[1], write: true, direct: true });
const slabs = [1, 2, 3].map(() => io.slabs.allocate(262144));
for (const slab of slabs) {
  const result = await new Promise((resolve) => {
    const op = new CallbackOp((value) => io.defer(() => resolve(value)));
    io.attach(op);
    io.read(op, file, slab, 0, 4096, 4096);
  });
  console.log(result, slab.bytes[0], slab.bytes[4095]);
}
console.log(/VmPin:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
process.exit(0);
`;

test("slabs beyond a share of RLIMIT_MEMLOCK do without", {
  skip: skip === false ? missingTools("root", "setpriv", "prlimit") : skip,
}, async (t) => {
  const path = `${makeTempDir(t)}/disk.img`;
  writeFileSync(path, Buffer.alloc(16 * BLOCK, 5));
  const node = [process.execPath, "--no-warnings", "--input-type=module", "-e", SCRIPT, path];
  // Who may lock memory has no limit: root gives that up.
  const args = ["--memlock=8388608", "setpriv", "--bounding-set", "-ipc_lock", ...node];
  const { stdout } = await promisify(execFile)("prlimit", args);
  assert.deepEqual(stdout.trim().split("\n"), ["4096 5 5", "4096 5 5", "4096 5 5", "512"]);
});
