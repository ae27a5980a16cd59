// Who may take how much space, and when warnings come.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import {
  mayCommit,
  mayTake,
  roomBlocks,
  type SpaceFigures,
  SpaceThresholds,
} from "./space-policy.ts";

const FIGURES: SpaceFigures = {
  free: 1000,
  waiting: 0,
  taken: 0,
  reserved: 0,
  keptBack: 400,
  held: 100,
  pages: 50,
};

test("roomBlocks is what is kept back less labels, ring and pages, but at least a quarter", () => {
  strictEqual(roomBlocks(FIGURES), 250);
  strictEqual(roomBlocks({ ...FIGURES, pages: 200 }), 100);
  strictEqual(roomBlocks({ ...FIGURES, pages: 10_000 }), 100);
});

test("mayTake gives a thin volume what is left beside room and reservations", () => {
  strictEqual(mayTake(FIGURES, 750, false), "ok");
  strictEqual(mayTake(FIGURES, 751, false), "no-space");
  strictEqual(mayTake({ ...FIGURES, reserved: 700 }, 50, false), "ok");
  strictEqual(mayTake({ ...FIGURES, reserved: 700 }, 51, false), "no-space");
});

test("mayTake says wait when only what waits for reuse is in the way", () => {
  const figures = { ...FIGURES, waiting: 10 };
  strictEqual(mayTake(figures, 740, false), "ok");
  strictEqual(mayTake(figures, 741, false), "wait");
  strictEqual(mayTake(figures, 750, false), "wait");
  strictEqual(mayTake(figures, 751, false), "no-space");
});

test("mayTake counts what is taken as gone, but waits for it", () => {
  const figures = { ...FIGURES, taken: 100, waiting: 10 };
  strictEqual(mayTake(figures, 640, false), "ok");
  strictEqual(mayTake(figures, 641, false), "wait");
  strictEqual(mayTake(figures, 751, false), "no-space");
});

test("mayTake gives a reserved write a part of the room, not what pages need", () => {
  const figures = { ...FIGURES, free: 250, reserved: 5000 };
  strictEqual(mayTake(figures, 1, false), "no-space");
  strictEqual(mayTake(figures, 62, true), "ok");
  strictEqual(mayTake(figures, 63, true), "no-space");
  strictEqual(mayTake({ ...figures, waiting: 30 }, 62, true), "wait");
});

test("the capacity of a fresh pool can be written by thin volumes wholly", () => {
  const blocks = 25_600; // 100 MiB: 4 MiB are kept back
  const figures = { waiting: 0, taken: 0, reserved: 0, keptBack: 1024, held: 288 };
  const [pages, data] = [250, 24_575];
  const free = blocks - figures.held - pages - data;
  strictEqual(mayTake({ ...figures, pages, free }, 1, false), "ok");
  strictEqual(mayTake({ ...figures, pages, free }, 2, false), "no-space");
});

test("mayCommit limits the sum of sizes, or not", () => {
  const sums = { committed: 90, more: 10, capacity: 100, percent: 100 };
  strictEqual(mayCommit(sums), true);
  strictEqual(mayCommit({ ...sums, more: 11 }), false);
  strictEqual(mayCommit({ ...sums, more: 60, percent: 150 }), true);
  strictEqual(mayCommit({ ...sums, more: 1e15, percent: 0 }), true);
});

test("SpaceThresholds reports each crossing once, downwards 2 percent later", () => {
  const thresholds = new SpaceThresholds(80, 95);
  const steps: readonly [number, ReturnType<SpaceThresholds["update"]>][] = [
    [79, null],
    [80, "warning"],
    [94, null],
    [79, null],
    [78, null],
    [77, "ok"],
    [96, "critical"],
    [94, null],
    [93, null],
    [92, "warning"],
    [97, "critical"],
    [10, "ok"],
    [0, null],
  ];
  for (const [used, event] of steps) strictEqual(thresholds.update(used, 100), event, `${used}`);
});

test("SpaceThresholds without thresholds or without capacity is silent", () => {
  const silent = new SpaceThresholds(0, 0);
  strictEqual(silent.update(100, 100), null);
  strictEqual(new SpaceThresholds(1, 2).update(0, 0), null);
});
