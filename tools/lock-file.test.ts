// Tests of the lock file: ours is complete and names no registry, and gaps are found and filled.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { completed, type LockFile, lockFileProblems } from "./lock-file.ts";
import { ROOT } from "./source-tree.ts";

const PARTIAL: LockFile = {
  packages: {
    "": {},
    "node_modules/lint": {
      version: "2.0.0",
      dev: true,
      optionalDependencies: {
        "@lint/cli-linux-x64-musl": "2.0.0",
        "@lint/cli-win32-arm64": "2.0.0",
      },
    },
  },
};

test("our lock file has no problems when it is read", () => {
  const text = readFileSync(join(ROOT, "package-lock.json"), "utf8");
  deepStrictEqual(lockFileProblems(JSON.parse(text) as LockFile), []);
  strictEqual(/"resolved"|https?:/.test(text.replace(/"(?:funding|url)": .*/g, "")), false);
});

test("lockFileProblems names what is wrong when a platform is missing or a source is named", () => {
  strictEqual(lockFileProblems(PARTIAL).length, 2);
  const named = { packages: { "node_modules/a": { resolved: "somewhere/a.tgz" } } };
  strictEqual(lockFileProblems(named).length, 1);
});

test("completed adds each missing platform when its parent names it", () => {
  const { packages } = completed(PARTIAL);
  deepStrictEqual(lockFileProblems({ packages }), []);
  deepStrictEqual(packages["node_modules/@lint/cli-linux-x64-musl"], {
    version: "2.0.0",
    cpu: ["x64"],
    dev: true,
    libc: ["musl"],
    optional: true,
    os: ["linux"],
  });
});
