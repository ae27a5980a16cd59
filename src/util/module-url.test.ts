// Tests of where workers' modules are found, in the tree and in the package.

import { strictEqual } from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { moduleBeside } from "./module-url.ts";

test("moduleBeside keeps the ending of the asking module", () => {
  const cases = [
    ["file:///x/src/pipe/pool.ts", "./worker", "file:///x/src/pipe/worker.ts"],
    ["file:///x/dist/pipe/pool.js", "../sys/worker", "file:///x/dist/sys/worker.js"],
    ["file:///a%20b/pool.js", "./worker", "file:///a%20b/worker.js"],
  ] as const;
  for (const [from, path, expected] of cases) strictEqual(moduleBeside(from, path).href, expected);
  strictEqual(existsSync(moduleBeside(import.meta.url, "./module-url")), true);
});
