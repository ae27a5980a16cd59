// Tests of the fake disk: what survives power loss, what faults do, holes and space.

import { deepStrictEqual, notDeepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Errno } from "../errno.ts";
import { AllocateMode } from "../io.ts";
import { DiskRig, filled, SECTOR, valuesOf, WaitedOp } from "./disk-rig.ts";
import { FakeWorld } from "./fake-world.ts";

test("power loss keeps what was synced or durable, and nothing else when so told", async () => {
  const rig = await DiskRig.open(1, 64 * 1024);
  await rig.write(0, filled(8, 1));
  strictEqual(await rig.sync(), 0);
  strictEqual(await rig.write(4 * SECTOR, filled(4, 2), true), 4 * SECTOR);
  await rig.write(6 * SECTOR, filled(4, 3));
  deepStrictEqual(valuesOf(await rig.read(0, 10 * SECTOR)), [1, 1, 1, 1, 2, 2, 3, 3, 3, 3]);
  await rig.powerLoss(0);
  deepStrictEqual(valuesOf(await rig.read(0, 10 * SECTOR)), [1, 1, 1, 1, 2, 2, 2, 2, 0, 0]);
  await rig.write(0, filled(2, 4));
  await rig.powerLoss(1);
  deepStrictEqual(valuesOf(await rig.read(0, 3 * SECTOR)), [4, 4, 1]);
});

test("power loss keeps any subset of sectors, and any version, over many seeds", async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 400; seed++) {
    const rig = await DiskRig.open(seed, 64 * 1024);
    await rig.write(0, filled(2, 1));
    await rig.sync();
    await rig.write(0, filled(2, 2));
    await rig.write(0, filled(2, 3));
    await rig.powerLoss();
    const values = valuesOf(await rig.read(0, 2 * SECTOR));
    deepStrictEqual(valuesOf(await rig.read(0, 2 * SECTOR)), values, "it stays as it is");
    await rig.powerLoss();
    deepStrictEqual(valuesOf(await rig.read(0, 2 * SECTOR)), values, "also the next time");
    seen.add(values.join());
  }
  const all = [1, 2, 3].flatMap((a) => [1, 2, 3].map((b) => `${a},${b}`));
  deepStrictEqual([...seen].sort(), all);
});

test("a sync covers only what was written before it began", async () => {
  let lost = 0;
  for (let seed = 0; seed < 50; seed++) {
    const rig = await DiskRig.open(seed, 64 * 1024);
    await rig.write(0, filled(1, 1));
    rig.startWrite(SECTOR, filled(1, 2), false, 4096);
    const sync = rig.start((op) => rig.process.io.sync(op, rig.opened.file));
    while (sync.result === null) rig.world.step();
    await rig.powerLoss(0);
    const [first, second] = valuesOf(await rig.read(0, 2 * SECTOR));
    strictEqual(first, 1);
    if (second === 0) lost++;
  }
  strictEqual(lost, 50);
});

test("data is not on the medium before the sync has ended", async () => {
  const rig = await DiskRig.open(1, 64 * 1024);
  await rig.write(0, filled(1, 1));
  rig.start((op) => rig.process.io.sync(op, rig.opened.file));
  rig.startWrite(SECTOR, filled(1, 2), true, 4096);
  await rig.powerLoss(0);
  deepStrictEqual(valuesOf(await rig.read(0, 2 * SECTOR)), [0, 0]);
});

test("a kill keeps completed writes and any part of those in flight", async () => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 100; seed++) {
    const rig = await DiskRig.open(seed, 64 * 1024);
    await rig.write(0, filled(1, 1));
    const late = rig.startWrite(SECTOR, filled(2, 2), false, 4096);
    rig.process.kill();
    await rig.world.run();
    strictEqual(late.result, null, "a dead process hears nothing");
    await rig.reopen();
    const [first, ...rest] = valuesOf(await rig.read(0, 3 * SECTOR));
    strictEqual(first, 1);
    outcomes.add(rest.join());
  }
  deepStrictEqual([...outcomes].sort(), ["0,0", "2,0", "2,2"]);
});

test("a lying flush says yes and keeps nothing", async () => {
  const rig = await DiskRig.open(1, 64 * 1024, { lyingFlush: true });
  await rig.write(0, filled(1, 1));
  strictEqual(await rig.sync(), 0);
  strictEqual(await rig.write(SECTOR, filled(1, 2), true), SECTOR);
  await rig.powerLoss(0);
  deepStrictEqual(valuesOf(await rig.read(0, 2 * SECTOR)), [0, 0]);
});

test("a failed sync drops dirty data: seen until the cache goes, not on the medium", async () => {
  let droppedAny = false;
  for (let seed = 0; seed < 20; seed++) {
    const rig = await DiskRig.open(seed, 64 * 1024);
    const disk = rig.world.disk();
    await rig.write(0, filled(4, 1));
    disk.faults.inject({
      effect: { kind: "error", errno: Errno.EIO },
      operations: ["sync"],
      count: 1,
    });
    strictEqual(await rig.sync(), -Errno.EIO);
    deepStrictEqual(valuesOf(await rig.read(0, 4 * SECTOR)), [1, 1, 1, 1]);
    strictEqual(await rig.sync(), 0, "the next sync finds nothing to do");
    disk.file(rig.path)?.dropCache();
    const cached = valuesOf(await rig.read(0, 4 * SECTOR));
    if (cached.includes(0)) droppedAny = true;
    await rig.powerLoss(1);
    deepStrictEqual(valuesOf(await rig.read(0, 4 * SECTOR)), cached);
  }
  ok(droppedAny);
});

test("faults strike by path, operation, range, count and chance", async () => {
  const rig = await DiskRig.open(3, 64 * 1024);
  const { faults } = rig.world.disk();
  const bad = faults.inject({
    effect: { kind: "error", errno: Errno.EIO },
    path: rig.path,
    operations: ["read"],
    range: { offset: 8192, length: 512 },
    count: 2,
  });
  strictEqual(await rig.read(4096, 8192), -Errno.EIO);
  deepStrictEqual(valuesOf(await rig.read(8704, 512)), [0], "beside the range");
  strictEqual(await rig.write(8192, filled(1, 1)), 512, "another operation");
  strictEqual(await rig.read(8192, 512), -Errno.EIO);
  deepStrictEqual(valuesOf(await rig.read(8192, 512)), [1], "used up");
  strictEqual(bad.hits, 2);
  faults.inject({ effect: { kind: "error", errno: Errno.EIO }, path: "/other" });
  deepStrictEqual(valuesOf(await rig.read(8192, 512)), [1]);
  const rare = faults.inject({
    effect: { kind: "error", errno: Errno.EIO },
    operations: ["read"],
    probability: 0.5,
  });
  let failed = 0;
  for (let round = 0; round < 200; round++) {
    if (typeof (await rig.read(0, 512)) === "number") failed++;
  }
  ok(failed > 60 && failed < 140, `${failed} of 200`);
  rare.remove();
  strictEqual(typeof (await rig.read(0, 512)), "object");
  faults.inject({ effect: { kind: "error", errno: Errno.EACCES }, operations: ["open"], count: 1 });
  await rejects(rig.reopen(), { code: "permission-denied" });
});

test("a hung operation goes on when it is released, others do not wait", async () => {
  const rig = await DiskRig.open(3, 64 * 1024);
  const { faults } = rig.world.disk();
  const hang = faults.inject({ effect: { kind: "hang" }, operations: ["write"], count: 1 });
  const hung = rig.startWrite(0, filled(1, 7), false, 4096);
  strictEqual(await rig.write(SECTOR, filled(1, 8)), SECTOR);
  strictEqual(hung.result, null);
  strictEqual(hang.hungCount, 1);
  deepStrictEqual(valuesOf(await rig.read(0, 2 * SECTOR)), [0, 8]);
  hang.release();
  await rig.world.run();
  strictEqual(hung.result, SECTOR);
  deepStrictEqual(valuesOf(await rig.read(0, 2 * SECTOR)), [7, 8]);
  faults.inject({ effect: { kind: "delay", delayMs: 5000 }, operations: ["read"], count: 1 });
  const before = rig.world.nowMs;
  await rig.read(0, 512);
  ok(rig.world.nowMs - before >= 5000);
});

test("a hung operation ends with its process", async () => {
  const rig = await DiskRig.open(3, 64 * 1024);
  const hang = rig.world.disk().faults.inject({ effect: { kind: "hang" } });
  const hung = rig.startWrite(0, filled(1, 7));
  rig.process.kill();
  strictEqual(hang.hungCount, 0);
  hang.release();
  await rig.world.run();
  strictEqual(hung.result, null);
  await rig.reopen();
});

test("seek, punch and zero agree about holes", async () => {
  const rig = await DiskRig.open(1, 3 * 2 ** 32);
  const far = 2 ** 33;
  strictEqual(await rig.seek(0, "data"), -Errno.ENXIO);
  strictEqual(await rig.seek(0, "hole"), 0);
  await rig.write(far, filled(32, 1));
  strictEqual(await rig.seek(0, "data"), far);
  strictEqual(await rig.seek(far, "hole"), far + 16_384);
  strictEqual(await rig.seek(far + 5000, "data"), far + 5000);
  strictEqual(await rig.allocate(AllocateMode.punch, far + 2048, 8192), 0);
  deepStrictEqual(valuesOf(await rig.read(far, 32 * SECTOR)), [
    ...[1, 1, 1, 1],
    ...new Array<number>(16).fill(0),
    ...new Array<number>(12).fill(1),
  ]);
  strictEqual(await rig.seek(far, "hole"), far + 4096, "whole pages are holes");
  strictEqual(await rig.seek(far + 4096, "data"), far + 8192);
  const used = rig.world.disk().usedPages;
  strictEqual(used, 3);
  strictEqual(await rig.allocate(AllocateMode.zero, 0, 65_536), 0);
  strictEqual(rig.world.disk().usedPages, used + 16);
  strictEqual(await rig.seek(0, "data"), far, "zeroes are no data");
  strictEqual(await rig.seek(3 * 2 ** 32, "hole"), -Errno.ENXIO);
});

test("a punch is undone by power loss when it was not synced", async () => {
  const rig = await DiskRig.open(1, 64 * 1024);
  await rig.write(0, filled(8, 1), true);
  await rig.allocate(AllocateMode.punch, 0, 4096);
  strictEqual(await rig.seek(0, "data"), -Errno.ENXIO);
  await rig.powerLoss(0);
  deepStrictEqual(valuesOf(await rig.read(0, 4096)), new Array(8).fill(1));
  strictEqual(await rig.seek(0, "data"), 0);
  strictEqual(rig.world.disk().usedPages, 1);
  await rig.allocate(AllocateMode.punch, 0, 4096);
  await rig.sync();
  await rig.powerLoss(0);
  deepStrictEqual(valuesOf(await rig.read(0, 4096)), new Array(8).fill(0));
  strictEqual(await rig.seek(0, "data"), -Errno.ENXIO);
});

test("writes are short and then fail when the disk is full", async () => {
  const rig = await DiskRig.open(1, 1024 * 1024, { spaceBytes: 65_536 + 4096 });
  strictEqual(await rig.write(4096, filled(255, 1)), 65_536 + 4096, "17 pages");
  strictEqual(await rig.write(131_072, filled(128, 1)), -Errno.ENOSPC);
  strictEqual(await rig.allocate(AllocateMode.zero, 262_144, 65_536), -Errno.ENOSPC);
  strictEqual(await rig.write(4096, filled(8, 2)), 4096, "over allocated pages");
  await rig.allocate(AllocateMode.punch, 4096, 8192);
  strictEqual(await rig.write(131_072, filled(8, 3)), 4096);
  rig.world.disk().remove("/nothing");
  strictEqual(rig.world.disk().usedPages, 16);
});

test("a block device keeps its size and has no holes", async () => {
  const rig = new DiskRig(1);
  rig.world.disk().create({ path: rig.path, sizeBytes: 8192, isBlockDevice: true });
  await rig.reopen();
  strictEqual(rig.opened.isBlockDevice, true);
  strictEqual(await rig.write(4096, filled(16, 1)), 4096, "short at the end");
  strictEqual(await rig.write(8192, filled(1, 1)), -Errno.ENOSPC);
  strictEqual(await rig.seek(0, "data"), -Errno.EINVAL);
  strictEqual(await rig.seek(0, "hole"), -Errno.EINVAL);
  strictEqual(await rig.allocate(AllocateMode.punch, 4096, 16_384), 0, "up to its end");
  strictEqual(await rig.allocate(AllocateMode.punch, 100, 512), -Errno.EINVAL);
  strictEqual(await rig.allocate(AllocateMode.zero, 8192, 512), -Errno.EINVAL);
  rig.process.kill();
  await rejects(rig.reopen(16_384), { code: "size-mismatch" });
});

test("rot changes every byte of its range, on the medium too", async () => {
  const rig = await DiskRig.open(1, 64 * 1024);
  await rig.write(0, filled(3, 1), true);
  rig.world.disk().file(rig.path)?.corrupt(SECTOR, SECTOR);
  const rotten = (await rig.read(SECTOR, SECTOR)) as Uint8Array;
  ok(rotten.every((byte) => byte !== 1));
  await rig.powerLoss(0);
  deepStrictEqual(await rig.read(SECTOR, SECTOR), rotten);
  deepStrictEqual(valuesOf(await rig.read(0, SECTOR)), [1]);
  notDeepStrictEqual(valuesOf(rotten), [1]);
});

test("direct I/O that is not aligned is refused as by the kernel", async () => {
  const world = new FakeWorld({ seed: 1 });
  const { io } = world.process();
  const opening = { path: "/d", write: true, direct: true, createSizeBytes: 8192 };
  const { file, alignmentBytes } = await world.runUntil(io.openFile(opening));
  strictEqual(alignmentBytes, 512);
  const slab = io.slabs.allocate(8192);
  for (const [offset, length, position, result] of [
    [0, 512, 0, 512],
    [4, 512, 0, -Errno.EINVAL],
    [0, 100, 0, -Errno.EINVAL],
    [0, 512, 100, -Errno.EINVAL],
  ] as const) {
    const op = new WaitedOp();
    io.attach(op);
    io.read(op, file, slab, offset, length, position);
    await world.run();
    strictEqual(op.result, result);
  }
});
