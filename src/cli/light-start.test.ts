// Tests that commands load what they need: `pipe run` nothing of RPC, the command line no stages,
// those that ask an engine neither stages nor what prints otherwise than asked for.

import { deepStrictEqual, ok } from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "../testing/run-command.ts";

const [PROGRAM, PIPE_RUN, CLIENT, POOL_CLIENT] = [
  "program.ts",
  "pipe-run.ts",
  "pipe-client.ts",
  "pool-client.ts",
].map((name) => join(import.meta.dirname, name)) as [string, string, string, string];
const RPC = ["@connectrpc", "@bufbuild"];
const PRINTERS = ["console-table-printer", "node_modules/yaml"];
const STAGES = ["src/devices/", "src/proto/", "/pipe/registry.ts"];

/** The URLs of all modules that are loaded when these are imported. */
async function loadedWith(...modules: readonly string[]): Promise<readonly string[]> {
  const code = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({
      load(url, context, next) {
        loaded.push(url);
        return next(url, context);
      },
    });
    for (const path of ${JSON.stringify(modules)}) await import(path);
    process.stdout.write(JSON.stringify(loaded));`;
  const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", code];
  const { stdout } = await runCommand(process.execPath, flags);
  return JSON.parse(stdout) as string[];
}

function thoseOf(loaded: readonly string[], parts: readonly string[]): readonly string[] {
  return loaded.filter((url) => parts.some((part) => url.includes(part)));
}

test("the command line and pipe run load no RPC", async () => {
  const loaded = await loadedWith(PROGRAM, PIPE_RUN);
  ok(loaded.some((url) => url.endsWith("/pipe-host.ts")));
  deepStrictEqual(thoseOf(loaded, [...RPC, ...PRINTERS]), []);
});

test("the command line and clients of the engine load no stages and no printers", async () => {
  const loaded = await loadedWith(PROGRAM, CLIENT, POOL_CLIENT);
  ok(thoseOf(loaded, RPC).length > 0);
  deepStrictEqual(thoseOf(loaded, [...STAGES, ...PRINTERS]), []);
});
