// Tests of the threads that reactors run on: they start, answer, leave by themselves, and a bug in
// one ends the process with its stack.

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { REAL_LEVELS } from "../reactor/level-capabilities.ts";
import { TEST_LEVELS } from "../reactor/test-reactor.ts";
import { forLongRun } from "../testing/long-run.ts";
import { runCommand } from "../testing/run-command.ts";
import { ReactorPool } from "./reactor-pool.ts";

const ROUNDS = forLongRun(3, 30);
const HERE = REAL_LEVELS.filter((level) => TEST_LEVELS.includes(level));

function fatal(stack: string): void {
  throw new Error(stack);
}

for (const level of HERE) {
  test(`a pool starts, answers and stops, again and again, at ${level}`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const reactors = level === "portable" ? 1 : 2;
      const pool = await ReactorPool.start({ level, reactors, onFatal: fatal });
      const stats = await Promise.all(pool.reactors.map((each) => each.call("stats", null)));
      deepStrictEqual(
        stats.map(({ reactor, pipes }) => ({ reactor, pipes })),
        pool.reactors.map(({ id }) => ({ reactor: id, pipes: [] })),
      );
      await pool.stop();
      await rejects(pool.reactor(0).call("stats", null), { code: "aborted" });
    }
  });

  test(`a bug in a reactor ends the process with 70 and its stack, at ${level}`, async () => {
    const module = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);
    const script = `
      import { ReactorPool } from ${module("./reactor-pool.ts")};
      const pool = await ReactorPool.start({
        level: "${level}",
        reactors: 1,
        onFatal: (stack) => { console.error(stack); process.exit(70); },
      });
      pool.reactors[0].note({ kind: "adopt", message: null });
      setTimeout(() => {}, 100_000);
    `;
    const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval"];
    const result = await runCommand(process.execPath, [...flags, script], { exitCode: "any" });
    strictEqual(result.exitCode, 70, result.stderr);
    match(result.stderr, /reactor 0: TypeError.*\n +at .*adopt/s);
  });
}

test("a pool refuses more reactors than the level has", async () => {
  const starting = ReactorPool.start({ level: "portable", reactors: 2, onFatal: fatal });
  await rejects(starting, { code: "reactors-unsupported", message: /level portable has one/ });
  const many = ReactorPool.start({ level: "uring", reactors: 65, onFatal: fatal });
  await rejects(many, { code: "reactors-unsupported", message: /at most 64/ });
});
