// Tests of the table of changes in flight: order, overlap, and a random model.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../util/prng.ts";
import { RangeTable } from "./range-table.ts";
import { Request } from "./request.ts";

class Change extends Request {
  readonly label: number;

  constructor(label: number, offset: number, length: number) {
    super();
    this.label = label;
    this.offset = offset;
    this.length = length;
  }

  override complete(): void {
    // Never submitted.
  }
}

test("RangeTable runs changes side by side that only touch", () => {
  const table = new RangeTable(() => assert.fail("nothing waits"));
  assert.equal(table.enter(new Change(1, 0, 4096)), true);
  assert.equal(table.enter(new Change(2, 4096, 4096)), true);
  assert.equal(table.waitingCount, 0);
});

test("RangeTable starts overlapping changes in their order", () => {
  const started: number[] = [];
  const table = new RangeTable((request) => started.push((request as Change).label));
  const first = new Change(1, 0, 8192);
  const second = new Change(2, 4096, 8192);
  const third = new Change(3, 8192, 8192);
  assert.equal(table.enter(first), true);
  assert.equal(table.enter(second), false);
  // Overlaps none that runs, but one that waits: it must not overtake it.
  assert.equal(table.enter(third), false);
  table.leave(first);
  assert.deepEqual(started, [2]);
  table.leave(second);
  assert.deepEqual(started, [2, 3]);
  table.leave(third);
  assert.equal(table.enter(new Change(4, 0, 65_536)), true);
});

test("RangeTable refuses the leave of a change that never entered", () => {
  const table = new RangeTable(() => undefined);
  assert.throws(() => table.leave(new Change(1, 0, 512)), /running/);
});

test("RangeTable agrees with a dumb model on random changes", () => {
  const seed = Number(process.env.PENSTOCK_SEED ?? 20261121);
  const random = new Prng(seed);
  const running = new Set<Change>();
  const order: Change[] = [];
  const overlaps = (a: Change, b: Change): boolean =>
    a.offset < b.offset + b.length && b.offset < a.offset + a.length;
  const begin = (change: Change): void => {
    for (const other of running) assert.ok(!overlaps(change, other), `seed ${seed}: two at once`);
    for (const older of order) {
      if (older === change) break;
      assert.ok(!overlaps(older, change), `seed ${seed}: ${change.label} overtook ${older.label}`);
    }
    running.add(change);
  };
  const table = new RangeTable((request) => begin(request as Change));
  for (let step = 0; step < 20_000; step++) {
    if (random.chance(0.5) && order.length < 200) {
      const change = new Change(step, random.below(64) * 512, (1 + random.below(8)) * 512);
      order.push(change);
      if (table.enter(change)) begin(change);
      continue;
    }
    const candidates = [...running];
    const ended = candidates[random.below(Math.max(candidates.length, 1))];
    if (ended === undefined) continue;
    running.delete(ended);
    order.splice(order.indexOf(ended), 1);
    table.leave(ended);
  }
  while (running.size > 0) {
    const ended = [...running][0] as Change;
    running.delete(ended);
    order.splice(order.indexOf(ended), 1);
    table.leave(ended);
  }
  assert.equal(order.length, 0, `seed ${seed}: some never ran`);
});
