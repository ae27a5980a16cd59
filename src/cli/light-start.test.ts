// Tests that commands which talk to no engine load nothing of RPC: `pipe run` stays small.

import { deepStrictEqual, ok } from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "../testing/run-command.ts";

const PROGRAM = join(import.meta.dirname, "program.ts");
const HEAVY = ["@connectrpc", "@bufbuild", "console-table-printer", "node_modules/yaml"];

test("the command line and pipe run load no RPC", async () => {
  const code = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({
      load(url, context, next) {
        loaded.push(url);
        return next(url, context);
      },
    });
    await import(${JSON.stringify(PROGRAM)});
    await import(${JSON.stringify(join(import.meta.dirname, "pipe-run.ts"))});
    process.stdout.write(JSON.stringify(loaded));`;
  const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", code];
  const { stdout } = await runCommand(process.execPath, flags);
  const loaded = JSON.parse(stdout) as string[];
  ok(loaded.some((url) => url.endsWith("/pipe-host.ts")));
  deepStrictEqual(
    loaded.filter((url) => HEAVY.some((name) => url.includes(name))),
    [],
  );
});
