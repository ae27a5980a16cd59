// Tests of files that are replaced as a whole: what is there after failures, and in which order
// it gets to the disk (that of a store's file is in pipe-store.test.ts).

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeTempDir } from "../testing/temp-dir.ts";
import { replaceFile } from "./replace-file.ts";

test("replaceFile makes a file and replaces one, with the mode asked for", async (t) => {
  const folder = makeTempDir(t);
  const path = join(folder, "a");
  for (const text of ["first, which is longer", "second"]) {
    await replaceFile({ path, mode: 0o600 }, (file) => file.writeFile(text));
    strictEqual(readFileSync(path, "utf8"), text);
  }
  strictEqual(statSync(path).mode & 0o777, 0o600);
  deepStrictEqual(readdirSync(folder), ["a"]);
});

test("replaceFile leaves the old content and nothing else when it fails", async (t) => {
  const folder = makeTempDir(t);
  const path = join(folder, "a");
  writeFileSync(path, "old");
  const failing = replaceFile({ path }, async (file) => {
    await file.writeFile("half of the n");
    throw new Error("no space");
  });
  await rejects(failing, /no space/);
  // What cannot be replaced: a folder.
  const other = join(folder, "b");
  mkdirSync(other);
  await rejects(
    replaceFile({ path: other }, (file) => file.writeFile("new")),
    { code: "EISDIR" },
  );
  strictEqual(readFileSync(path, "utf8"), "old");
  deepStrictEqual(readdirSync(folder).sort(), ["a", "b"]);
});

test("replaceFile clears away what a crash has left of an earlier replacement", async (t) => {
  const folder = makeTempDir(t);
  const path = join(folder, "a");
  writeFileSync(`${path}.tmp`, "a long text that a crash has cut off");
  await replaceFile({ path }, (file) => file.writeFile("new"));
  strictEqual(readFileSync(path, "utf8"), "new");
  deepStrictEqual(readdirSync(folder), ["a"]);
});
