// docs/internals/simulation.md is true: its scenario runs, finds nothing, and finds what is wrong.

import { ok, strictEqual } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { makeTempDir } from "../testing/temp-dir.ts";
import type { HistoryOptions } from "./history.ts";
import { type Run, runSchedule, type Scenario } from "./run.ts";

const PAGE = join(import.meta.dirname, "../../docs/internals/simulation.md");
const FOLDER = pathToFileURL(`${join(import.meta.dirname, "scenarios")}/`);

test("the guide's scenario runs as it stands there", async (t) => {
  const [, program = ""] = /^```ts\n(.*?)^```\n/ms.exec(readFileSync(PAGE, "utf8")) ?? [];
  const path = join(makeTempDir(t), "memory.ts");
  const text = program.replace(/ from "(\.\.\/[^"]+)"/g, (_all, file: string) => {
    return ` from "${new URL(file, FOLDER).href}"`;
  });
  writeFileSync(path, text);
  const module = (await import(pathToFileURL(path).href)) as { MEMORY_SCENARIO: Scenario };
  const scenario = module.MEMORY_SCENARIO;
  let answered = 0;
  let faults = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const report = await runSchedule(scenario, scenario.draw(seed));
    strictEqual(report.violations[0], undefined, `seed ${seed}`);
    answered += report.answered;
    faults += Object.values(report.faults).reduce((sum, count) => sum + count, 0);
  }
  ok(answered > 3000 && faults > 100, `${answered} answered, ${faults} faults`);
  const blind: Scenario = { ...scenario, start: (run) => scenario.start(withoutWipes(run)) };
  let found = 0;
  for (let seed = 1; seed <= 5; seed++) {
    const { violations } = await runSchedule(blind, scenario.draw(seed));
    if (violations.length > 0) found++;
  }
  strictEqual(found, 5, "memory that is empty again, and nobody was told, is seen");
});

function withoutWipes(run: Run): Run {
  const make = run.history.bind(run);
  run.history = (options: HistoryOptions) => {
    const history = make(options);
    history.wipe = () => undefined;
    return history;
  };
  return run;
}
