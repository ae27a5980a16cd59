// Tests of the mutants' runner: patches apply, one mutant is caught at once, and a change that
// breaks nothing is not. All mutants: test/mutants/mutants.test.ts, in long runs.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { forLongRun } from "../src/testing/long-run.ts";
import { missingTools } from "../src/testing/require-tool.ts";
import { makeTempDir } from "../src/testing/temp-dir.ts";
import {
  applyPatch,
  copyTree,
  formatTable,
  listMutants,
  type Mutant,
  tryMutant,
} from "./mutants.ts";

const QUICK = forLongRun(["fua-ignored"], ["flush-not-sticky", "fua-ignored", "resend-overtaken"]);
const skip = missingTools("git");

test("every mutant's patch applies to the tree as it is", { skip }, async () => {
  const copy = copyTree();
  const stale: string[] = [];
  try {
    for (const mutant of listMutants()) {
      await applyPatch(copy, mutant, ["--check"]).catch(() => stale.push(mutant.name));
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
  deepStrictEqual(stale, [], "make them anew: docs/internals/simulation.md, Mutants");
});

for (const name of QUICK) {
  test(`the simulator catches ${name} within 20 seeds`, { skip }, async () => {
    const mutant = listMutants().find((each) => each.name === name);
    ok(mutant !== undefined);
    const { finding, problem } = await tryMutant(mutant, { seedsMax: 20, shrink: false });
    strictEqual(problem, "");
    strictEqual(finding?.caught, true);
  });
}

test("a change that breaks no rule survives, and the table says so", { skip }, async (t) => {
  const mutant = writeMutant(makeTempDir(t), "/** Sixteen hexadecimal digits. */");
  const result = await tryMutant(mutant, { seedsMax: 3, shrink: false });
  strictEqual(result.problem, "survived 3 seeds");
  match(
    formatTable([result]),
    /\| harmless \| 0 \| nothing \| file \| \*\*survived 3 seeds\*\* \|/,
  );
});

test("a patch that does not apply is a failure", { skip }, async (t) => {
  const mutant = writeMutant(makeTempDir(t), "no such line");
  const { finding, problem } = await tryMutant(mutant, { seedsMax: 1, shrink: false });
  strictEqual(finding, null);
  match(problem, /patch does not apply/);
});

/** Adds a comment to a small file; `context` is one of its lines, or not. */
function writeMutant(folder: string, context: string): Mutant {
  const path = join(folder, "harmless.patch");
  const lines = [
    "@@ -23,2 +23,3 @@",
    `   ${context}`,
    "+  // Harmless.",
    "   get text(): string {",
    "",
  ];
  const file = "src/sim/trace-hash.ts";
  const head = [`diff --git a/${file} b/${file}`, `--- a/${file}`, `+++ b/${file}`];
  writeFileSync(path, [...head, ...lines].join("\n"));
  return { name: "harmless", path, rule: "0", removes: "nothing", scenario: "file" };
}
