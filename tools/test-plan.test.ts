// Tests of the plan of a test run: arguments, groups and filters, over a small tree of files.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { after, test } from "node:test";
import { parseArguments, planTests, unmatchedFilters } from "./test-plan.ts";

const root = mkdtempSync(join(tmpdir(), "penstock-plan-"));
after(() => rmSync(root, { recursive: true, force: true }));

for (const path of [
  "src/util/a.ts",
  "src/util/a.test.ts",
  "src/pipe/b.test.ts",
  "tools/c.test.ts",
  "test/interop/d.test.ts",
  "test/guest/deep/e.test.ts",
  "test/soak/f.test.ts",
  "test/hostile/g.test.ts",
  "test/hostile/half-open.test.ts",
  "test/e2e/a.test.ts",
  "test/e2e/engine.test.ts",
  "bench/h.test.ts",
  "test/interop/helper.ts",
]) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), "");
}

function plan(...args: string[]): Record<string, string[]> {
  const groups = planTests(root, parseArguments(args));
  return Object.fromEntries(
    groups.map(({ name, files, idleFiles }) => [
      name,
      [...files, ...idleFiles].map((file) => relative(root, file)),
    ]),
  );
}

const PAIRED = "test/guest, test/crash, test/interop, test/e2e";
const UNIT = ["src/pipe/b.test.ts", "src/util/a.test.ts", "tools/c.test.ts"];

test("planTests has unit and integration tests, and no soak, when nothing is said", () => {
  deepStrictEqual(plan(), {
    unit: UNIT,
    [PAIRED]: [
      "test/e2e/engine.test.ts",
      "test/guest/deep/e.test.ts",
      "test/interop/d.test.ts",
      "test/e2e/a.test.ts",
      "test/hostile/half-open.test.ts",
    ],
    "test/hostile": ["test/hostile/g.test.ts"],
    bench: ["bench/h.test.ts"],
  });
});

test("planTests has unit tests only when asked for those or for ok", () => {
  deepStrictEqual(plan("--unit"), { unit: UNIT });
  deepStrictEqual(plan("--ok"), { unit: UNIT });
});

test("planTests has everything when the run is a long one", () => {
  deepStrictEqual(plan("--long")["test/soak"], ["test/soak/f.test.ts"]);
});

test("planTests keeps what a filter chooses when there are filters", () => {
  for (const [filter, files] of [
    ["src/util", ["src/util/a.test.ts"]],
    ["src/util/", ["src/util/a.test.ts"]],
    ["./src/util/a.ts", ["src/util/a.test.ts"]],
    ["src/util/a.test.ts", ["src/util/a.test.ts"]],
    ["src/**/b.*", ["src/pipe/b.test.ts"]],
    ["src/pi", ["src/pipe/b.test.ts"]],
    [
      "test",
      [
        "test/e2e/engine.test.ts",
        "test/guest/deep/e.test.ts",
        "test/interop/d.test.ts",
        "test/e2e/a.test.ts",
        "test/hostile/half-open.test.ts",
        "test/hostile/g.test.ts",
        "test/soak/f.test.ts",
      ],
    ],
    ["test/soak", ["test/soak/f.test.ts"]],
  ] as const) {
    deepStrictEqual(Object.values(plan(filter)).flat(), files, filter);
  }
});

test("planTests runs two files at a time, or four, or one, when groups are made", () => {
  const groups = planTests(root, parseArguments([]));
  deepStrictEqual(
    groups.map(({ concurrency }) => concurrency),
    [2, 2, 4, 1],
  );
  const beside = groups.map(({ idleFiles }) => idleFiles.map((file) => relative(root, file)));
  deepStrictEqual(beside, [[], ["test/hostile/half-open.test.ts"], [], []]);
});

test("planTests knows files by names that are those of files", () => {
  const tree = join(import.meta.dirname, "..");
  const [, paired] = planTests(tree, parseArguments([]));
  const names = paired?.files.slice(0, 4).map((file) => relative(tree, file));
  deepStrictEqual(names, [
    "test/e2e/start.test.ts",
    "test/e2e/engine.test.ts",
    "test/e2e/bench-command.test.ts",
    "test/guest/nvme-outages.test.ts",
  ]);
  strictEqual(paired?.idleFiles.length, 5);
});

test("unmatchedFilters names a filter when it chooses no file", () => {
  const filters = ["src/util", "src/utl"];
  const groups = planTests(root, parseArguments(filters));
  deepStrictEqual(unmatchedFilters(root, groups, filters), ["src/utl"]);
});

test("parseArguments refuses when an option is unknown or has no value", () => {
  throws(() => parseArguments(["--fast"]), /unknown option --fast\nusage/);
  throws(() => parseArguments(["--name"]), /--name needs/);
  strictEqual(parseArguments(["--name", "x y"]).namePattern, "x y");
});
