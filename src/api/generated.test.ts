// Tests that the committed TypeScript of the API is what its .proto says, and that buf likes that.

import { strictEqual } from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { runCommand } from "../testing/run-command.ts";
import { makeTempDir } from "../testing/temp-dir.ts";

const ROOT = join(import.meta.dirname, "../..");
const BIN = join(ROOT, "node_modules", ".bin");
const BUF = join(BIN, "buf");
const API = join(ROOT, "src", "api");

/** An optional dependency brings the program itself, for the usual platforms. */
const skip = existsSync(BUF) ? false : "needs buf (npm package @bufbuild/buf)";

function buf(...args: readonly string[]): Promise<unknown> {
  // The plugin runs with this very Node, and nothing is fetched.
  const path = [BIN, join(ROOT, "node_modules", "node", "bin"), process.env.PATH].join(delimiter);
  return runCommand(BUF, args, { cwd: ROOT, environment: { PATH: path } });
}

test("generated messages are what the .proto files say", { skip }, async (t) => {
  const folder = makeTempDir(t);
  await buf("generate", "src/api", "--template", "src/api/buf.gen.yaml", "-o", folder);
  const committed = globSync("**/*_pb.ts", { cwd: API }).sort();
  strictEqual(committed.join(), globSync("**/*_pb.ts", { cwd: folder }).sort().join());
  strictEqual(committed.length > 0, true);
  for (const path of committed) {
    const fresh = readFileSync(join(folder, path), "utf8");
    strictEqual(readFileSync(join(API, path), "utf8"), fresh, `${path}: run npm run api`);
  }
});

test("the .proto files keep buf's rules", { skip }, async () => {
  await buf("lint", "src/api");
});
