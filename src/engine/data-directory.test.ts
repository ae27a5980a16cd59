// Tests of DataDirectory: who has it, who waits for it, what is wrong with a folder.

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeTempDir } from "../testing/temp-dir.ts";
import { DataDirectory } from "./data-directory.ts";

const LEVELS = ["portable", "uring"] as const;

for (const level of LEVELS) {
  test(`a folder is one engine's, at ${level}, and its successor waits for a stop`, async (t) => {
    const path = join(makeTempDir(t), "a", "b");
    const first = await DataDirectory.take(path, { level, holder: "first" });
    strictEqual(statSync(path).mode & 0o777, 0o700);
    const lock = join(path, "engine.lock");
    strictEqual(readFileSync(lock, "utf8"), `first (process ${process.pid})\n`);
    const second = { level, holder: "second" };
    await rejects(DataDirectory.take(path, second), {
      code: "data-dir-in-use",
      message: /in use by first/,
    });
    await first.announceStop();
    match(readFileSync(lock, "utf8"), /, stopping\)\n$/);
    const order: string[] = [];
    const taken = DataDirectory.take(path, second).then((directory) => {
      order.push("taken");
      return directory;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    order.push("released");
    await first.release();
    await (await taken).release();
    deepStrictEqual(order, ["released", "taken"]);
    match(readFileSync(lock, "utf8"), /^second/);
  });
}

test("a folder that cannot be used says why", async (t) => {
  const folder = makeTempDir(t);
  const taker = { level: "portable", holder: "x" } as const;
  const file = join(folder, "file");
  writeFileSync(file, "");
  await rejects(DataDirectory.take(file, taker), { code: "data-dir-invalid", message: /\bfile\b/ });
  const locked = join(folder, "locked");
  mkdirSync(join(locked, "engine.lock"), { recursive: true });
  await rejects(DataDirectory.take(locked, taker), { code: "data-dir-invalid", message: /EISDIR/ });
  const denied = join(folder, "denied");
  mkdirSync(denied);
  chmodSync(denied, 0o500);
  if (process.getuid?.() !== 0) {
    await rejects(DataDirectory.take(denied, taker), { code: "permission-denied" });
  }
});
