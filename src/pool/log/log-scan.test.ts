// Reading frames: everything that a ring may hold, byte by byte.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { testUuid } from "../../testing/pool-disks-rig.ts";
import { FRAME_HEADER_BYTES, type FrameOwner, frameOwner, sealFrame } from "./log-frame.ts";
import { LogRing } from "./log-ring.ts";
import { type LogScan, scanLog } from "./log-scan.ts";
import type { ReplayStart } from "./pool-log.ts";

const UNIT = 512;
const BLOCKS = 4;
const POOL = testUuid(1000);
const SESSION = "00000000000000a1";

/** A ring of 16 KiB as PoolLog fills it. */
class RingModel {
  readonly bytes = new Uint8Array(BLOCKS * 4096);
  readonly ring = new LogRing({ address: 16, blocks: BLOCKS, unitBytes: UNIT });
  owner: FrameOwner = frameOwner(POOL, SESSION);
  next: ReplayStart;
  durable = 0;
  generation = 3;
  /** Of each frame: bytes from..to, both copies. */
  readonly places: { sequence: number; start: number; lengthBytes: number }[] = [];

  constructor(position = 0, sequence = 100) {
    this.ring.reset(position);
    this.next = { sequence, position, prevCrc: 77 };
  }

  /** Writes a frame with so many bytes of records; false: there is no room. */
  write(recordBytes: number): boolean {
    const units = Math.ceil((FRAME_HEADER_BYTES + recordBytes) / UNIT);
    if (!this.ring.hasRoom(2 * units)) return false;
    const lengthBytes = units * UNIT;
    const memory = new Uint8Array(lengthBytes);
    for (let at = FRAME_HEADER_BYTES; at < FRAME_HEADER_BYTES + recordBytes; at++) {
      memory[at] = (this.next.sequence * 31 + at) % 256;
    }
    const words = new Uint32Array(memory.buffer);
    const { sequence, prevCrc } = this.next;
    const { owner, durable, generation } = this;
    const seal = { owner, sequence, durable, generation, prevCrc };
    const crc = sealFrame(words, memory, seal, recordBytes, lengthBytes);
    const start = this.ring.take(2 * units) * UNIT;
    this.bytes.set(memory, start);
    this.bytes.set(memory, start + lengthBytes);
    this.places.push({ sequence, start, lengthBytes });
    this.next = { sequence: sequence + 1, position: this.ring.position, prevCrc: crc };
    return true;
  }

  scan(start: ReplayStart, bytes: Uint8Array = this.bytes): LogScan {
    return scanLog({ bytes, unitBytes: UNIT, hasUnreadable: false }, this.owner, start);
  }
}

function sequencesOf({ frames }: LogScan): number[] {
  return frames.map(({ header }) => header.sequence);
}

/** Frames of several sizes, the last of which are at the ring's start. */
function wrapped(): { model: RingModel; start: ReplayStart; all: number[] } {
  const model = new RingModel(22);
  const start = model.next;
  for (const bytes of [100, 900, 4, 1500, 200, 448, 452]) ok(model.write(bytes));
  ok(
    model.places.some((place) => place.start === 0),
    "it wraps",
  );
  return { model, start, all: model.places.map(({ sequence }) => sequence) };
}

test("scanLog reads all frames of a ring, and where the next one goes", () => {
  const { model, start, all } = wrapped();
  const scan = model.scan(start);
  deepStrictEqual(sequencesOf(scan), all);
  deepStrictEqual(scan.end, model.next);
  deepStrictEqual([scan.later, scan.secondCopies], [null, 0]);
});

test("scanLog of a ring without frames ends at once", () => {
  const model = new RingModel();
  deepStrictEqual(sequencesOf(model.scan(model.next)), []);
  deepStrictEqual(model.scan(model.next).end, model.next);
});

test("scanLog reads all frames when any one byte of the ring is another", () => {
  const { model, start, all } = wrapped();
  for (let at = 0; at < model.bytes.length; at++) {
    const bytes = Uint8Array.from(model.bytes);
    bytes[at] = (bytes[at] as number) ^ 0xff;
    const scan = model.scan(start, bytes);
    deepStrictEqual(sequencesOf(scan), all, `byte ${at}`);
    deepStrictEqual(scan.end, model.next, `byte ${at}`);
  }
});

test("scanLog ends at a last frame that is cut off at any byte, and begins no other", () => {
  const { model, start, all } = wrapped();
  const last = model.places.at(-1);
  ok(last !== undefined);
  const without = model.scan(start, ringUntil(model, last.start, last.start));
  deepStrictEqual(sequencesOf(without), all.slice(0, -1));
  for (let cut = 0; cut < 2 * last.lengthBytes; cut++) {
    const bytes = ringUntil(model, last.start, last.start + cut);
    const scan = model.scan(start, bytes);
    const isWhole: boolean = cut >= last.lengthBytes;
    // The last bytes of a copy may be zeroes, as they are in a ring that was never used.
    const isThere: boolean = isWhole || scan.frames.length === all.length;
    deepStrictEqual(sequencesOf(scan), isThere ? all : all.slice(0, -1), `cut at ${cut}`);
    // A torn frame is the log's end, not a sign of frames that are missing.
    deepStrictEqual(scan.later, null, `cut at ${cut}`);
  }
});

/** As if bytes [from, ...) of the frame's write had not been done, but for those before `to`. */
function ringUntil(model: RingModel, from: number, to: number): Uint8Array {
  const bytes = Uint8Array.from(model.bytes);
  const place = model.places.find(({ start }) => start === from);
  bytes.fill(0, to, from + 2 * (place?.lengthBytes ?? 0));
  return bytes;
}

test("scanLog finds a frame by its second copy, whatever the first one looks like", () => {
  const { model, start, all } = wrapped();
  const random = new Prng(3);
  for (const place of model.places) {
    for (const spoil of ["zero", "random", "header"] as const) {
      const bytes = Uint8Array.from(model.bytes);
      const end = place.start + place.lengthBytes;
      for (let at = place.start; at < (spoil === "header" ? place.start + 64 : end); at++) {
        bytes[at] = spoil === "zero" ? 0 : random.below(256);
      }
      const scan = model.scan(start, bytes);
      deepStrictEqual(sequencesOf(scan), all, `${spoil} ${place.sequence}`);
      strictEqual(scan.secondCopies, 1);
    }
  }
});

test("scanLog ends where both copies are gone, and tells of later frames and their mark", () => {
  const { model, start, all } = wrapped();
  model.durable = 104;
  ok(model.write(12));
  all.push(model.next.sequence - 1);
  for (const [index, place] of model.places.entries()) {
    const bytes = Uint8Array.from(model.bytes);
    bytes.fill(0, place.start, place.start + 2 * place.lengthBytes);
    const scan = model.scan(start, bytes);
    deepStrictEqual(sequencesOf(scan), all.slice(0, index));
    const later = all.slice(index + 1);
    const [first, last] = [later[0], later.at(-1)];
    deepStrictEqual(scan.later, later.length === 0 ? null : { first, last }, `${index}`);
    strictEqual(scan.mark, later.length === 0 ? 0 : 104);
  }
});

test("scanLog does not take frames of another session, pool, sequence or chain", () => {
  const { model, start } = wrapped();
  const strangers: readonly [string, FrameOwner, ReplayStart][] = [
    ["session", frameOwner(POOL, "10000000000000a1"), start],
    ["session's end", frameOwner(POOL, "00000000000000a2"), start],
    ["pool", frameOwner(testUuid(1000).replace("00000000", "10000000"), SESSION), start],
    ["sequence", model.owner, { ...start, sequence: start.sequence + 1 }],
    ["chain", model.owner, { ...start, prevCrc: 78 }],
    ["place", model.owner, { ...start, position: start.position + 3 }],
  ];
  for (const [what, owner, from] of strangers) {
    model.owner = owner;
    const scan = model.scan(from);
    deepStrictEqual(sequencesOf(scan), [], what);
    // Only headers of the session count for what should be there.
    const isOwn = what === "sequence" || what === "chain" || what === "place";
    strictEqual(scan.later !== null, isOwn, what);
    strictEqual(scan.generation, what === "pool" ? 0 : 3, what);
  }
});

test("scanLog goes on where a new session has begun to write over an old one", () => {
  const model = new RingModel();
  for (let count = 0; count < 8; count++) ok(model.write(300));
  // All is applied: the next session begins at the ring's head.
  model.ring.release(model.ring.head);
  model.owner = frameOwner(POOL, "00000000000000b2");
  model.generation = 9;
  const start = model.next;
  const before = model.places.length;
  for (let count = 0; count < 5; count++) ok(model.write(700));
  const scan = model.scan(start);
  deepStrictEqual(
    sequencesOf(scan),
    model.places.slice(before).map(({ sequence }) => sequence),
  );
  deepStrictEqual([scan.later, scan.generation], [null, 9]);
});

test("scanLog agrees with a model over random rings, releases and damage", () => {
  for (let seed = 0; seed < 300; seed++) {
    const random = new Prng(seed);
    const model = new RingModel(random.below(32));
    let start = model.next;
    let first = 0;
    for (let step = 0; step < 40; step++) {
      if (random.chance(0.1)) model.durable = model.next.sequence - 1;
      if (model.write(4 * random.below(300))) continue;
      // A checkpoint: all frames so far are not needed any more.
      model.ring.release(model.ring.head);
      start = model.next;
      first = model.places.length;
    }
    const all = model.places.slice(first).map(({ sequence }) => sequence);
    const bytes = Uint8Array.from(model.bytes);
    // Any damage to one copy of each frame.
    for (const { start: at, lengthBytes } of model.places.slice(first)) {
      if (random.chance(0.5)) continue;
      const copy = at + random.below(2) * lengthBytes;
      for (let count = random.below(5); count >= 0; count--) {
        bytes[copy + random.below(lengthBytes)] = random.below(256);
      }
    }
    const scan = model.scan(start, bytes);
    deepStrictEqual(sequencesOf(scan), all, `seed ${seed}`);
    deepStrictEqual(scan.end, model.next, `seed ${seed}`);
  }
});

test("scanLog survives random bytes with magics in them", () => {
  const random = new Prng(11);
  for (let round = 0; round < 200; round++) {
    const model = wrapped().model;
    for (let count = 0; count < 40; count++) {
      const unit = random.below(32) * UNIT;
      model.bytes[unit + 4 * random.below(16)] = random.below(256);
    }
    model.scan({ sequence: 100 + random.below(9), position: random.below(32), prevCrc: 77 });
  }
});
