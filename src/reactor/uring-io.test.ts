// Tests of the uring level: the suite of every level, and what only this one promises.

import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync, truncateSync } from "node:fs";
import { test } from "node:test";
import { makeLoopDevice } from "../testing/loop-device.ts";
import { missingTools } from "../testing/require-tool.ts";
import { runCommand } from "../testing/run-command.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { IoOp } from "./io.ts";
import { ioConformance } from "./io-conformance.ts";
import { Reactor } from "./reactor.ts";
import { UringIo } from "./uring-io.ts";

ioConformance("uring", async () => new UringIo());
ioConformance("uring without polling", async () => new UringIo({ spinMsMax: 0 }));
ioConformance("uring on a thread of others", async () => new UringIo({ sharesThread: true }));

test("UringIo names the holder of a file that is in use", async (t) => {
  const path = `${makeTempDir(t)}/x.img`;
  const io = new UringIo();
  new Reactor({ id: 0, io });
  const first = await io.openFile({ path, write: true, createSizeBytes: 4096, holder: "pipe one" });
  const again = io.openFile({ path, write: true, holder: "pipe two" });
  await assert.rejects(again, { code: "claimed", message: /x\.img is in use by pipe one/ });
  await io.closeFile(first.file);
  const second = await io.openFile({ path, write: true });
  await io.closeFile(second.file);
  await io.close();
});

test("UringIo states a block device's size and sectors", {
  skip: missingTools("root", "losetup"),
}, async (t) => {
  for (const sectorBytes of [512, 4096] as const) {
    const device = await makeLoopDevice(t, { sizeBytes: 8 * 1024 * 1024, sectorBytes });
    const io = new UringIo();
    new Reactor({ id: 0, io });
    const opened = await io.openFile({ path: device.path, write: true, direct: true });
    assert.equal(opened.isBlockDevice, true);
    assert.equal(opened.sizeBytes, 8 * 1024 * 1024);
    assert.equal(opened.logicalBlockBytes, sectorBytes);
    assert.equal(opened.alignmentBytes, sectorBytes);
    await assert.rejects(io.openFile({ path: device.path, write: true }), { code: "claimed" });
    truncateSync(device.backingPath, 12 * 1024 * 1024);
    await runCommand("losetup", ["--set-capacity", device.path]);
    assert.equal(await io.sizeOfFile(opened.file), 12 * 1024 * 1024);
    await io.closeFile(opened.file);
    await io.close();
  }
});

test("UringIo closes its own fds once, however often it is closed", async () => {
  const io = new UringIo();
  new Reactor({ id: 0, io });
  await io.close();
  const others = Array.from({ length: 16 }, () => openSync("/dev/null", "r"));
  await io.close();
  for (const fd of others) {
    assert.ok(fstatSync(fd).isCharacterDevice());
    closeSync(fd);
  }
});

/** Reads again from inside its own completion, so that the chain never leaves the turn. */
class ChainOp extends IoOp {
  left: number;
  readonly #start: (op: ChainOp) => void;
  readonly #done: () => void;

  constructor(left: number, start: (op: ChainOp) => void, done: () => void) {
    super();
    this.left = left;
    this.#start = start;
    this.#done = done;
  }

  override complete(result: number): void {
    assert.equal(result, 4096);
    if (--this.left > 0) this.#start(this);
    else this.#done();
  }
}

test("UringIo lets the event loop run while operations never pause", async (t) => {
  const path = `${makeTempDir(t)}/x.img`;
  const io = new UringIo();
  const reactor = new Reactor({ id: 0, io });
  const { file } = await io.openFile({ path, write: true, createSizeBytes: 4096 });
  const slab = io.slabs.allocate(4096);
  let rounds = 0;
  const timer = setInterval(() => {
    rounds++;
  }, 1);
  const op = await new Promise<ChainOp>((resolve) => {
    const start = (chain: ChainOp): void => io.read(chain, file, slab, 0, 4096, 0);
    const done = (): void => reactor.deliverLater(() => resolve(chain));
    const chain = new ChainOp(50_000, start, done);
    io.attach(chain);
    start(chain);
  });
  clearInterval(timer);
  assert.ok(rounds > 5, `timers ran ${rounds} times`);
  io.detach(op);
  await io.closeFile(file);
  await io.close();
});

/** The turn asked for runs before the callback: it must come straight back. */
function deferAgainAndAgain(io: UringIo): Promise<void> {
  return new Promise((resolve) => {
    let left = 100;
    const step = (): void => {
      if (--left === 0) {
        resolve();
        return;
      }
      io.requestTurn();
      io.defer(step);
    };
    step();
  });
}

test("UringIo neither looks nor blocks while a deferred callback waits", async (t) => {
  const io = new UringIo();
  new Reactor({ id: 0, io });
  const path = `${makeTempDir(t)}/x.img`;
  const { file } = await io.openFile({ path, write: true, createSizeBytes: 4096 });
  const slab = io.slabs.allocate(4096);
  const read = (op: IoOp): void => io.read(op, file, slab, 0, 4096, 0);
  // Short gaps, so that a reactor without work would wait awake.
  const getUsedToShortGaps = (): Promise<void> =>
    new Promise((resolve) => {
      const op = new ChainOp(10_000, read, () => io.defer(resolve));
      io.attach(op);
      read(op);
    });
  const measured: string[] = [];
  let isRight = false;
  // A thread that has to wait for its processor seems to look: one of several rounds is enough.
  for (let round = 0; round < 5 && !isRight; round++) {
    await getUsedToShortGaps();
    const before = { ...io.turnStats };
    await deferAgainAndAgain(io);
    const blocks = io.turnStats.blocks - before.blocks;
    const lookedMs = io.turnStats.idleSpinMs - before.idleSpinMs;
    measured.push(`blocked ${blocks} times, looked for ${lookedMs} ms`);
    isRight = blocks <= 2 && lookedMs < 1;
  }
  assert.ok(isRight, measured.join("; "));
  await io.closeFile(file);
  await io.close();
});
