// Tests of nearestName: slips of the finger are found, other words are not.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { nearestName, suggestName } from "./nearest-name.ts";

const NAMES = ["file", "malloc", "null", "nbd", "nbd+unix", "mirror", "limit", "crypt", "delay"];

test("nearestName finds the name when a few characters are wrong", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["fiel", "file"],
    ["flie", "file"],
    ["mirorr", "mirror"],
    ["miror", "mirror"],
    ["limits", "limit"],
    ["ndb", "nbd"],
    ["malocc", "malloc"],
    ["nbd-unix", "nbd+unix"],
  ];
  for (const [name, nearest] of cases) {
    strictEqual(nearestName(name, NAMES), nearest);
  }
});

test("nearestName finds nothing when the name is another word", () => {
  for (const name of ["", "x", "teleport", "iscsi", "m".repeat(10_000)]) {
    strictEqual(nearestName(name, NAMES), undefined, name);
  }
  strictEqual(nearestName("a", ["b"]), undefined);
  strictEqual(nearestName("a", []), undefined);
});

test("suggestName asks when there is a name to suggest", () => {
  strictEqual(suggestName("miror", NAMES), ' (did you mean "mirror"?)');
  strictEqual(suggestName("teleport", NAMES), "");
});
