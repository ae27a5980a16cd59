/**
 * Conformance: compare and compare-and-write, down to the byte that differs.
 */

import { strictEqual } from "node:assert/strict";
import { Operation } from "../operation.ts";
import { Status } from "../status.ts";
import type { Kit } from "./kit.ts";

export async function compareNamesTheFirstDifference(kit: Kit): Promise<void> {
  if (!kit.supports("compare")) return; // operationsAreAsDeclared covers the refusal
  const block = kit.blockSize;
  const offset = 64 * 1024 - block;
  const data = kit.noise(5 * block);
  await kit.write(offset, data);
  for (const segmentCount of [1, 4]) {
    const ask = { operation: Operation.compare, offset, segmentCount };
    await kit.expect({ ...ask, data: kit.kept(data) }, Status.ok);
    for (const at of [0, 1, block - 1, block, 3 * block + 7, 5 * block - 1]) {
      const other = kit.kept(data).slice();
      other[at] = (other[at] as number) ^ 0x40;
      other[5 * block - 1] = (other[5 * block - 1] as number) ^ 0x20;
      const request = await kit.expect({ ...ask, data: other }, Status.compareFailed);
      strictEqual(request.errorOffset, offset + at);
    }
  }
  await kit.verify(0, 256 * 1024);
}

export async function compareAndWriteIsAllOrNothing(kit: Kit): Promise<void> {
  if (!kit.supports("compareAndWrite")) return; // operationsAreAsDeclared covers the refusal
  const block = kit.blockSize;
  const offset = 128 * 1024;
  const operation = Operation.compareAndWrite;
  await kit.write(offset, kit.noise(4 * block));
  for (const segmentCount of [1, 2, 8]) {
    const next = kit.noise(4 * block);
    const expected = kit.model.slice(offset, offset + 4 * block);
    const wrong = expected.slice();
    wrong[2 * block + 5] = (wrong[2 * block + 5] as number) ^ 1;
    const failing = { operation, offset, segmentCount, data: join(wrong, next) };
    const request = await kit.expect(failing, Status.compareFailed);
    strictEqual(request.errorOffset, offset + 2 * block + 5);
    await kit.verify(offset - block, 6 * block);
    await kit.expect({ ...failing, data: join(expected, next) }, Status.ok);
    kit.modelWrite(offset, next);
    await kit.verify(offset - block, 6 * block);
  }
}

/** Many try to count one counter up from the same value: exactly one wins each round. */
export async function oneCompareAndWriteWins(kit: Kit): Promise<void> {
  if (!kit.supports("compareAndWrite") || !kit.keepsData) return;
  const block = kit.blockSize;
  for (let round = 0; round < 10; round++) {
    const expected = kit.model.slice(0, block);
    const rivals = Array.from({ length: 20 }, () => kit.noise(block));
    const ends = await Promise.all(
      rivals.map((next) =>
        kit.run({ operation: Operation.compareAndWrite, data: join(expected, next) }),
      ),
    );
    const winners = ends.flatMap(({ status }, index) => (status === Status.ok ? [index] : []));
    const losers = ends.filter(({ status }) => status === Status.compareFailed);
    strictEqual(winners.length, 1);
    strictEqual(losers.length, 19);
    kit.modelWrite(0, rivals[winners[0] as number] as Uint8Array); // one winner, counted above
    await kit.verify(0, 4 * block);
  }
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
