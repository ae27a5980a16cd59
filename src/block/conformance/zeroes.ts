/**
 * Conformance: discard, write-zeroes and block status: what reads as zeroes, what is said of it.
 */

import { ok, strictEqual } from "node:assert/strict";
import { EXTENT_COUNT_MAX, ExtentFlag, type ExtentList } from "../extents.ts";
import { Operation, RequestFlag } from "../operation.ts";
import { Status } from "../status.ts";
import { expectBytes, type Kit, WINDOW_BYTES } from "./kit.ts";

const ZEROES = Buffer.alloc(WINDOW_BYTES);
const { fua, noUnmap, fastZero } = RequestFlag;
/** Every day each flag once. */
const ZERO_FLAGS = [0, fua, noUnmap, fastZero];
const FLAGS = {
  discard: [0, fua],
  writeZeroes:
    process.env.PENSTOCK_LONG === "1"
      ? [...ZERO_FLAGS, noUnmap | fua, fastZero | noUnmap]
      : ZERO_FLAGS,
} as const;

/** Ranges of every alignment to pages and to larger units. */
function rangesOf(kit: Kit): [offset: number, length: number][] {
  const block = kit.blockSize;
  return [
    [0, block],
    [block, block],
    [4096, 4096],
    [3 * block, 64 * 1024],
    [64 * 1024, 64 * 1024],
    [128 * 1024 - block, 256 * 1024 + 2 * block],
    [1024 * 1024, 1024 * 1024 + block],
    [0, WINDOW_BYTES],
  ];
}

export async function discardReadsAsZeroes(kit: Kit): Promise<void> {
  await rangesBecomeZeroes(kit, "discard");
}

export async function writeZeroesReadsAsZeroes(kit: Kit): Promise<void> {
  await rangesBecomeZeroes(kit, "writeZeroes");
}

async function rangesBecomeZeroes(kit: Kit, name: keyof typeof FLAGS): Promise<void> {
  if (!kit.supports(name)) return; // operationsAreAsDeclared covers the refusal
  const operation = Operation[name];
  for (const flags of FLAGS[name]) {
    await kit.fillWithNoise();
    for (const [offset, length] of rangesOf(kit)) {
      const { status } = await kit.run({ operation, offset, length, flags });
      // Fast or nothing: then nothing has changed.
      const mayRefuse = (flags & fastZero) !== 0 && status === Status.unsupported;
      if (!mayRefuse) {
        strictEqual(status, Status.ok, `${name} at ${offset} length ${length} flags ${flags}`);
        kit.model.fill(0, offset, offset + length);
      }
      await kit.verify(Math.max(0, offset - 4096), Math.min(length, 256 * 1024) + 8192);
    }
    await kit.verify();
  }
  await lastBlockBecomesZero(kit, operation);
}

/** Far longer than one transfer, and up to the very end. */
async function lastBlockBecomesZero(kit: Kit, operation: Operation): Promise<void> {
  const { sizeBytes } = kit.device.info;
  const block = kit.blockSize;
  const last = kit.noise(2 * block);
  await kit.write(sizeBytes - 2 * block, last);
  await kit.expect({ operation, offset: sizeBytes - block, length: block }, Status.ok);
  const end = await kit.read(sizeBytes - 2 * block, 2 * block);
  const expected = kit.kept(last).slice();
  expected.fill(0, block);
  expectBytes(end, expected, sizeBytes - 2 * block);
}

export async function blockStatusIsTruthful(kit: Kit): Promise<void> {
  if (!kit.supports("blockStatus")) return; // operationsAreAsDeclared covers the refusal
  await checkStatus(kit, 0, WINDOW_BYTES);
  const block = kit.blockSize;
  await kit.write(0, kit.noise(block));
  await kit.write(256 * 1024 + 3 * block, kit.noise(3 * block));
  await kit.write(1024 * 1024, kit.noise(128 * 1024));
  await checkStatus(kit, 0, WINDOW_BYTES);
  if (kit.supports("discard")) {
    const ask = { operation: Operation.discard, offset: 1024 * 1024, length: 64 * 1024 };
    await kit.expect(ask, Status.ok);
    kit.model.fill(0, ask.offset, ask.offset + ask.length);
  }
  if (kit.supports("writeZeroes")) {
    const ask = { operation: Operation.writeZeroes, offset: 2 * 1024 * 1024, length: 128 * 1024 };
    await kit.expect({ ...ask, flags: noUnmap }, Status.ok);
    await kit.expect({ ...ask, offset: 256 * 1024 }, Status.ok);
    kit.model.fill(0, 256 * 1024, 256 * 1024 + ask.length);
  }
  await checkStatus(kit, 0, WINDOW_BYTES);
  for (let round = 0; round < 50; round++) {
    const offset = kit.prng.below(WINDOW_BYTES / block) * block;
    const length = (1 + kit.prng.below((WINDOW_BYTES - offset) / block)) * block;
    await checkStatus(kit, offset, length);
  }
  await kit.verify();
}

export async function blockStatusCanStopAtOneExtent(kit: Kit): Promise<void> {
  if (!kit.supports("blockStatus")) return; // operationsAreAsDeclared covers the refusal
  await kit.write(512 * 1024, kit.noise(64 * 1024));
  for (const offset of [0, 512 * 1024, 576 * 1024]) {
    const length = 1024 * 1024;
    const flags = RequestFlag.oneExtent;
    const ask = { operation: Operation.blockStatus, offset, length, flags };
    const extents = (await kit.expect(ask, Status.ok)).extents as ExtentList;
    strictEqual(extents.count, 1);
    ok(extents.lengthBytes > 0 && extents.lengthBytes <= length);
    checkExtents(kit, offset, extents);
  }
}

async function checkStatus(kit: Kit, offset: number, length: number): Promise<void> {
  const request = kit.request({ operation: Operation.blockStatus, offset, length });
  const extents = request.extents as ExtentList; // made by the kit
  extents.push(kit.blockSize, ExtentFlag.zero); // what is in the list before does not count
  await request.run();
  strictEqual(request.status, Status.ok, `status of ${offset} length ${length}`);
  if (extents.count < EXTENT_COUNT_MAX) strictEqual(extents.lengthBytes, length);
  ok(extents.lengthBytes > 0 && extents.lengthBytes <= length);
  checkExtents(kit, offset, extents);
}

function checkExtents(kit: Kit, offset: number, extents: ExtentList): void {
  let at = offset;
  let sum = 0;
  for (let index = 0; index < extents.count; index++) {
    const length = extents.lengths[index] as number;
    const flags = extents.flags[index] as number;
    ok(length > 0 && length % kit.blockSize === 0, `extent of ${length} bytes at ${at}`);
    ok((flags & ~(ExtentFlag.hole | ExtentFlag.zero)) === 0, `flags ${flags}`);
    ok(index === 0 || flags !== extents.flags[index - 1], `extents at ${at} are not joined`);
    // Discarded ranges read as zeroes on every device of ours.
    if (flags !== 0) {
      const isZero = ZEROES.compare(kit.model, at, at + length, 0, length) === 0;
      ok(isZero, `${at} length ${length} is data, not zero or a hole (flags ${flags})`);
    }
    at += length;
    sum += length;
  }
  strictEqual(sum, extents.lengthBytes);
}
