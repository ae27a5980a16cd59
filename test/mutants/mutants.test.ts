// Every mutant is caught by the simulator within 2,000 seeds. Only in long runs; prints the table.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { missingTools } from "../../src/testing/require-tool.ts";
import { listMutants, SEEDS_MAX, tryMutant } from "../../tools/mutants.ts";

const skip = missingTools("git");

for (const mutant of listMutants()) {
  test(`the simulator catches ${mutant.name}: ${mutant.removes}`, { skip }, async (t) => {
    const { finding, problem } = await tryMutant(mutant, { seedsMax: SEEDS_MAX, shrink: true });
    strictEqual(problem, "");
    t.diagnostic(`seed ${finding?.seeds}, ${finding?.steps} steps: ${finding?.message}`);
  });
}
