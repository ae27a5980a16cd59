// docs/guide/library.md is true: each of its programs runs, and prints what the text says.

import { ok, strictEqual } from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { LEVELS } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { REPOSITORY_ROOT } from "../../src/testing/penstock-process.ts";
import { type CommandResult, runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const GUIDE = join(REPOSITORY_ROOT, "docs/guide/library.md");
const FLAGS = ["--disable-warning=ExperimentalWarning", "--conditions=penstock-source"];
/** A program, and what it prints where the guide says that. */
const BLOCK = /^```ts\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?/gms;
/** Those that say `level` themselves, or leave it open. */
const IO_LEVELS = [...new Set(LEVELS.map(({ io }) => io))];

/** A folder in which `import "penstock"` finds this tree. */
function makeProject(t: TestContext): string {
  const folder = makeTempDir(t);
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(REPOSITORY_ROOT, join(folder, "node_modules", "penstock"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n');
  return folder;
}

function runIn(folder: string, args: readonly string[], io: string): Promise<CommandResult> {
  const environment = { PENSTOCK_IO: io };
  return runCommand(process.execPath, [...FLAGS, ...args], { cwd: folder, environment });
}

const guide = readFileSync(GUIDE, "utf8");
const blocks = [...guide.matchAll(BLOCK)];

test("the guide's programs are found, all of them", () => {
  strictEqual(blocks.length, guide.split("```ts\n").length - 1);
  ok(blocks.length >= 7);
  strictEqual(
    blocks.filter(([, , output]) => output !== undefined).length,
    guide.split("```text\n").length - 1,
  );
});

for (const [index, [, program = "", output]] of blocks.entries()) {
  const title = guide
    .slice(0, guide.indexOf(program))
    .match(/^## (.*)$/gm)
    ?.at(-1)
    ?.slice(3);
  test(`the guide's program ${index + 1} (${title}) does what it says`, async (t) => {
    // Every day one level each, of different programs different ones.
    const everyday = IO_LEVELS.filter((_, level) => level === index % IO_LEVELS.length);
    for (const io of forLongRun(everyday, IO_LEVELS)) {
      const folder = makeProject(t);
      writeFileSync(join(folder, "program.ts"), program);
      const { stdout } = await runIn(folder, ["program.ts"], io);
      if (output !== undefined) strictEqual(stdout, output, io);
    }
  });
}

test("the nexus example runs at every level", async (t) => {
  for (const io of IO_LEVELS) {
    const folder = makeTempDir(t);
    const { stdout } = await runIn(REPOSITORY_ROOT, ["examples/nexus.ts", folder], io);
    ok(stdout.endsWith("all three children hold the same\n"), stdout);
  }
});
