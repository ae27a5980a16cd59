// Which label counts, with every subset of its copies damaged.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { testUuid } from "../../testing/pool-disks-rig.ts";
import { testLabel } from "../../testing/pool-labels.ts";
import { chooseLabel, type DeviceCopies, type LabelCopy } from "./label-choice.ts";
import { LabelState, type PoolLabel } from "./label-format.ts";

const CRC: LabelCopy = { kind: "problem", problem: "crc", newerBits: 0 };
const NONE: LabelCopy = { kind: "problem", problem: "no-magic", newerBits: 0 };
const NEWER: LabelCopy = { kind: "problem", problem: "newer", newerBits: 4 };
const BAD_COPIES: readonly LabelCopy[] = [CRC, { kind: "unreadable" }];

function copyOf(label: PoolLabel, diskIndex = 0): LabelCopy {
  return { kind: "label", label: { ...label, diskIndex } };
}

function device(name: string, copies: readonly LabelCopy[]): DeviceCopies {
  return { name, copies };
}

/** Front and back of a disk: slots of generations 6 and 7. */
function disk(index: number, count: number, changes: Partial<PoolLabel> = {}): LabelCopy[] {
  const old = copyOf(testLabel(count, { ...changes, generation: 6 }), index);
  const label = copyOf(testLabel(count, changes), index);
  return [old, label, old, label];
}

test("chooseLabel takes the newest label that is right, whichever copies are damaged", () => {
  const whole = [...disk(0, 2), ...disk(1, 2)];
  for (let damaged = 0; damaged < 2 ** whole.length; damaged++) {
    for (const bad of BAD_COPIES) {
      const copies: LabelCopy[] = whole.map((copy, index) => ((damaged >> index) & 1 ? bad : copy));
      const devices = [device("d0", copies.slice(0, 4)), device("d1", copies.slice(4))];
      const isKnown = (damaged & 0x0f) !== 0x0f && (damaged & 0xf0) !== 0xf0;
      if (!isKnown) {
        throws(() => chooseLabel(devices), { code: "label-damaged" }, `subset ${damaged}`);
        continue;
      }
      const choice = chooseLabel(devices);
      const hasNew = copies.some((copy) => copy.kind === "label" && copy.label.generation === 7);
      strictEqual(choice.label.generation, hasNew ? 7 : 6, `subset ${damaged}`);
      deepStrictEqual(choice.devices, [0, 1]);
      strictEqual(choice.damagedCopies, copies.filter((copy) => copy === bad).length);
    }
  }
});

test("chooseLabel puts devices in the order of the table", () => {
  const devices = [2, 0, 1].map((index) => device(`d${index}`, disk(index, 3)));
  deepStrictEqual(chooseLabel(devices).devices, [1, 2, 0]);
});

test("chooseLabel takes the label that tells of a failed sync, of the same generation", () => {
  const failed = copyOf(testLabel(1, { state: LabelState.syncFailed }));
  for (const copies of [
    [...disk(0, 1), failed],
    [failed, ...disk(0, 1)],
  ]) {
    strictEqual(chooseLabel([device("d", copies)]).label.state, LabelState.syncFailed);
  }
});

test("chooseLabel names the disks that are missing", () => {
  throws(() => chooseLabel([device("d1", disk(1, 3))]), {
    code: "pool-incomplete",
    details: { pool: "tänk", missing: [testUuid(1), testUuid(3)] },
  });
});

test("chooseLabel refuses disks of several pools, one disk twice, and strange ones", () => {
  const other = disk(0, 1, { poolUuid: testUuid(5), generation: 3 });
  const pairs: readonly [DeviceCopies[], string][] = [
    [[device("a", disk(0, 1)), device("b", other)], "disk-in-pool"],
    [[device("a", disk(0, 1)), device("a", disk(0, 1))], "disk-in-pool"],
    [[device("a", disk(0, 2)), device("a", disk(0, 2))], "pool-incomplete"],
    [[device("a", disk(0, 1)), device("b", [NONE, NONE, NONE, NONE])], "not-a-pool"],
    [[device("b", [])], "not-a-pool"],
    [[device("b", [NONE, NONE, CRC, NONE])], "label-damaged"],
    [[device("b", [NONE, NEWER, CRC, NONE])], "pool-newer"],
    [[device("a", [...disk(0, 1), NEWER])], "pool-newer"],
  ];
  for (const [devices, code] of pairs) throws(() => chooseLabel(devices), { code });
});

test("chooseLabel does not count slots that were never written as damaged", () => {
  const label = copyOf(testLabel(1));
  const { damagedCopies } = chooseLabel([device("d", [NONE, label, NONE, label])]);
  strictEqual(damagedCopies, 0);
});
