// Files that are none: opening them comes back, at every real level.

import { rejects } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, test } from "node:test";
import { makeTempDir } from "../testing/temp-dir.ts";
import { TEST_LEVELS, withReactor } from "./test-reactor.ts";

const path = join(makeTempDir({ after }), "pipe");
execFileSync("mkfifo", [path]);

for (const level of TEST_LEVELS.filter((each) => each !== "fake")) {
  test(`openFile refuses a named pipe without waiting for a peer, at ${level}`, () =>
    withReactor(level, async ({ reactor }) => {
      for (const write of [false, true]) {
        await rejects(reactor.io.openFile({ path, write }), {
          code: "invalid-file",
          message: /it is a pipe, not a regular file/,
        });
      }
    }));
}
