/**
 * The steps of a file operation in virtual time: when it takes effect, in one or two pieces, and
 * what becomes of it when a fault strikes or its process dies. Stateless.
 */

import { assert, unreachable } from "../../util/assert.ts";
import type { Prng } from "../../util/prng.ts";
import { Errno } from "../errno.ts";
import type { FakeDisk } from "./fake-disk.ts";
import type { FakeFile } from "./fake-file.ts";
import type { FakeOp } from "./fake-op.ts";

const SECTOR_BYTES = 512;
/** One in this many transfers takes effect in two pieces with others in between. */
const SPLIT_ONE_IN = 8;

/** Draws when the operation goes on, or hangs it. `op` has its file, range and memory. */
export function startFileOp(op: FakeOp, disk: FakeDisk, prng: Prng): void {
  const file = fileOf(op);
  const kind = op.kind;
  assert(kind !== "idle" && kind !== "receive" && kind !== "send", "a file operation starts");
  const fault = disk.faults.strike(file.path, kind, op.position, op.length);
  op.fault = fault;
  if (kind === "sync") op.synced = file.beginSync();
  const effect = fault?.options.effect;
  if (fault !== null && effect?.kind === "hang") {
    op.isDue = true; // the fault schedules it
    fault.hang(op);
    return;
  }
  let delayMs = kind === "sync" || op.durable ? disk.syncDelayMs() : disk.transferDelayMs();
  if (effect?.kind === "delay") delayMs += effect.delayMs;
  const isTransfer = kind === "read" || kind === "write";
  if (isTransfer && op.length > SECTOR_BYTES && prng.below(SPLIT_ONE_IN) === 0) {
    op.splitAt = SECTOR_BYTES * (1 + prng.below(Math.ceil(op.length / SECTOR_BYTES) - 1));
    delayMs *= prng.float();
  }
  op.wake(delayMs);
}

/** @returns the result, or null when another step follows */
export function stepFileOp(op: FakeOp, disk: FakeDisk, prng: Prng): number | null {
  const file = fileOf(op);
  const effect = op.fault?.options.effect;
  if (effect?.kind === "error") {
    failFileOp(op, file, prng);
    return -effect.errno;
  }
  switch (op.kind) {
    case "read":
    case "write":
      return stepTransfer(op, file, disk);
    case "sync":
      if (!disk.lyingFlush) file.endSync(op.synced);
      return 0;
    case "punch":
      file.zero(op.position, op.length, false);
      return 0;
    case "zero":
      return file.zero(op.position, op.length, true) ? 0 : -Errno.ENOSPC;
    case "seek": {
      const found = file.seek(op.position, op.seekHole ? "hole" : "data");
      return found === -1 ? -Errno.ENXIO : found;
    }
    case "idle":
    case "receive":
    case "send":
      throw new Error(`not a file operation: ${op.kind}`);
    default:
      return unreachable(op.kind);
  }
}

/** The process died with the operation in flight: it took effect, or in part, or not at all. */
export function abandonFileOp(op: FakeOp, disk: FakeDisk, prng: Prng): void {
  const file = fileOf(op);
  op.fault?.forget(op);
  const outcome = prng.below(3);
  if (outcome === 0) return;
  if (outcome === 1 && op.kind === "write") failFileOp(op, file, prng);
  else while (stepFileOp(op, disk, prng) === null);
}

function stepTransfer(op: FakeOp, file: FakeFile, disk: FakeDisk): number | null {
  const room = Math.max(file.sizeBytes - op.position, 0);
  const isWrite = op.kind === "write";
  const end = isWrite && !file.isBlockDevice ? op.length : Math.min(op.length, room);
  if (end === 0) return isWrite ? -Errno.ENOSPC : 0;
  const stop = op.splitAt > op.done && op.splitAt < end ? op.splitAt : end;
  const moved = moveBytes(op, file, stop);
  if (isWrite && op.durable && !disk.lyingFlush && op.done > 0) {
    file.persistRange(op.position, op.done);
  }
  if (!moved) return op.done > 0 ? op.done : -Errno.ENOSPC;
  if (stop === end) return op.done;
  op.wake(disk.transferDelayMs());
  return null;
}

/** Moves bytes [done, stop) of the operation; false when the disk is full. */
function moveBytes(op: FakeOp, file: FakeFile, stop: number): boolean {
  let skip = op.done;
  for (let index = 0; op.done < stop; index++) {
    const available = op.vector.lengthAt(index) - skip;
    if (available <= 0) {
      skip = -available;
      continue;
    }
    const taken = Math.min(available, stop - op.done);
    const { bytes } = op.vector.slabAt(index);
    const at = op.vector.offsetAt(index) + skip;
    skip = 0;
    if (op.kind === "read") {
      file.read(op.position + op.done, bytes, at, taken);
      op.done += taken;
      continue;
    }
    const written = file.write(op.position + op.done, bytes, at, taken);
    op.done += written;
    if (written < taken) return false;
  }
  return true;
}

/** What a failed operation leaves behind: part of a write, a sync's dropped pages. */
function failFileOp(op: FakeOp, file: FakeFile, prng: Prng): void {
  if (op.kind === "sync") {
    file.failSync(op.synced);
  } else if (op.kind === "write") {
    const room = file.isBlockDevice ? Math.max(file.sizeBytes - op.position, 0) : op.length;
    const sectors = Math.floor(Math.min(op.length, room) / SECTOR_BYTES);
    moveBytes(op, file, Math.max(op.done, prng.below(sectors + 1) * SECTOR_BYTES));
  }
}

function fileOf(op: FakeOp): FakeFile {
  assert(op.file !== null, "a file operation has a file");
  return op.file;
}
