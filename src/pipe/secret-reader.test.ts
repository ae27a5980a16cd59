// Tests of reading secrets: files, pipes and variables, bounds, and errors that show no content.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { after, test } from "node:test";
import type { Clock } from "../reactor/clock.ts";
import { RealClock } from "../reactor/real-clock.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { readSecret } from "./secret-reader.ts";

const folder = makeTempDir({ after });
const BYTES_MAX = 64;
const clock = new RealClock();
const VARIABLE = "PENSTOCK_TEST_SECRET";

function fileOf(name: string, content: string | Uint8Array): { kind: "file"; path: string } {
  const path = `${folder}/${name}`;
  writeFileSync(path, content);
  return { kind: "file", path };
}

test("readSecret reads a file's bytes, one more than allowed at most", async () => {
  for (const length of [0, 1, 63, 64, 65, 5000]) {
    const content = Uint8Array.from({ length }, (_, index) => index * 7);
    const reference = fileOf(`k${length}`, content);
    const secret = await readSecret(reference, BYTES_MAX, clock);
    deepStrictEqual([...secret.content], [...content.subarray(0, BYTES_MAX + 1)]);
    strictEqual(secret.source, `file:${reference.path}`);
  }
});

test("readSecret reads a named pipe to its end", async () => {
  const path = `${folder}/pipe`;
  execFileSync("sh", ["-c", 'mkfifo "$1"', "sh", path]);
  const reading = readSecret({ kind: "file", path }, BYTES_MAX, clock);
  execFileSync("sh", ["-c", 'printf abc >"$1"; printf def >>"$1"', "sh", path]);
  const { content } = await reading;
  strictEqual(Buffer.from(content).toString(), "abcdef");
});

test("readSecret waits for a named pipe's writer, without a thread that waits", async () => {
  const path = `${folder}/late`;
  execFileSync("mkfifo", [path]);
  const reference = { kind: "file", path } as const;
  // More than Node has threads for files: they would keep the writer below from opening, too.
  const readings = Array.from({ length: 8 }, () => readSecret(reference, 0, clock));
  await writeFile(path, "x".repeat(8));
  for (const { content } of await Promise.all(readings)) ok(content.length <= 1);
});

test("readSecret gives a named pipe up that nobody writes into", async () => {
  const path = `${folder}/never`;
  execFileSync("mkfifo", [path]);
  let nowMs = 0;
  // Time flies: each timer fires soon, and later by what it was to wait.
  const virtual: Clock = {
    nowMs: () => nowMs,
    startTimer: (delayMs, callback) => {
      nowMs += delayMs;
      const immediate = setImmediate(callback);
      return { cancel: () => clearImmediate(immediate) };
    },
  };
  await rejects(readSecret({ kind: "file", path }, BYTES_MAX, virtual), {
    code: "secret-unreadable",
    message: `cannot read the secret file:${path}: it did not end within 30 s`,
  });
});

test("readSecret reads a variable, and says when it is not set", async () => {
  process.env[VARIABLE] = "x".repeat(200);
  const secret = await readSecret({ kind: "env", name: VARIABLE }, BYTES_MAX, clock);
  strictEqual(Buffer.from(secret.content).toString(), "x".repeat(BYTES_MAX + 1));
  strictEqual(secret.source, `env:${VARIABLE}`);
  delete process.env[VARIABLE];
  await rejects(readSecret({ kind: "env", name: VARIABLE }, BYTES_MAX, clock), {
    code: "secret-unreadable",
    message: `cannot read the secret env:${VARIABLE}: the variable is not set`,
  });
});

test("readSecret says why a file cannot be read", async () => {
  const cases: [path: string, reason: RegExp][] = [
    [`${folder}/missing`, /missing: there is no such file$/],
    [folder, /it is a directory$/],
    [`${folder}/missing/k`, /there is no such file$/],
  ];
  if (process.getuid?.() !== 0) {
    const { path } = fileOf("closed", "secret");
    chmodSync(path, 0);
    cases.push([path, /permission denied$/]);
  }
  for (const [path, message] of cases) {
    const reading = readSecret({ kind: "file", path }, BYTES_MAX, clock);
    await rejects(reading, { code: "secret-unreadable", message });
  }
});
