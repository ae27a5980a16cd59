// The RPC's thread beside busy reactors: its priority, and that it answers all the same.

import { ok, strictEqual } from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { test } from "node:test";
import { NICE_MAX } from "../../src/cli/rpc-priority.ts";
import { PENSTOCK, startEngine } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

/** Name and nice value of each thread. */
function threadsOf(pid: number): readonly { id: number; name: string; nice: number }[] {
  return readdirSync(`/proc/${pid}/task`).map((id) => {
    const stat = readFileSync(`/proc/${pid}/task/${id}/stat`, "utf8");
    // The name, in parentheses, may hold anything; the fields after it are numbered from 3.
    const [start, end] = [stat.indexOf("(") + 1, stat.lastIndexOf(")")];
    const nice = Number(stat.slice(end + 2).split(" ")[19 - 3]);
    return { id: Number(id), name: stat.slice(start, end), nice };
  });
}

const ONE_CORE = { launcher: ["taskset", "-c", "0"] } as const;

test("the RPC's thread is nicer than reactors, and answers beside a busy one on one core", {
  skip: process.platform === "linux" ? missingTools("taskset") : "nice values are Linux's",
}, async (t) => {
  const args = ["--no-supervisor", "--rpc-nice", "7", "--reactors", "2"];
  const engine = await startEngine(t, makeTempDir(t), { ...ONE_CORE, args });
  const environment = { PENSTOCK_ENGINE: engine.uri };
  const ask = async (...words: readonly string[]): Promise<string> =>
    (await runCommand(PENSTOCK, words, { environment })).stdout;
  const text = "malloc:///m?size=64MiB | nbd://127.0.0.1:0/m";
  const uri = (await ask("pipe", "create", "m", text)).trim().replace(/^ready /, "");
  const { pid } = engine;
  const own = getPriority();
  for (const { id, name, nice } of threadsOf(pid)) {
    if (id === pid) strictEqual(nice, Math.min(own + 7, NICE_MAX), "the RPC's thread");
    else if (name.startsWith("reactor-")) strictEqual(nice, own, name);
  }
  strictEqual(threadsOf(pid).filter(({ name }) => name.startsWith("reactor-")).length, 2);
  const load = runCommand(PENSTOCK, ["bench", uri, "--depth", "64", "--time", "4s"]);
  let calls = 0;
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  load.then(over, over);
  for (; !isOver; calls++) {
    const [pipe] = JSON.parse(await ask("pipe", "list", "-o", "json"));
    strictEqual(pipe.state, "ready");
  }
  await load;
  ok(calls >= 2, `${calls} calls were answered`);
});

test("the RPC's thread keeps its priority with --rpc-nice 0", {
  skip: process.platform !== "linux",
}, async (t) => {
  const args = ["--no-supervisor", "--rpc-nice", "0"];
  const engine = await startEngine(t, makeTempDir(t), { args });
  const { pid } = engine;
  ok(threadsOf(pid).every(({ nice }) => nice === getPriority()));
});
