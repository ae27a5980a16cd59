// Tests of LogSink: order, a disk that is full, a reader that is gone, more than it keeps.

import { ok, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, openSync, read, readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { makeTempDir } from "../testing/temp-dir.ts";
import { LogSink } from "./log-sink.ts";

const LINE = `${"x".repeat(1023)}\n`;

function openFor(t: TestContext, path: string): number {
  const fd = openSync(path, "a");
  t.after(() => closeSync(fd));
  return fd;
}

test("lines are written in their order, and all of them by a flush", async (t) => {
  const path = join(makeTempDir(t), "log");
  const sink = new LogSink(openFor(t, path));
  for (const line of ["1\n", "2\n", "3\n"]) sink.write(line);
  while (readFileSync(path, "utf8") !== "1\n2\n3\n") await turn();
  for (const line of ["4\n", "5\n", "6\n"]) sink.write(line);
  sink.flush();
  while (readFileSync(path, "utf8").length < 12) await turn();
  strictEqual(readFileSync(path, "utf8").split("\n").sort().join(""), "123456");
});

test("a full disk and a closed file take lines and hold nothing up", async (t) => {
  const fd = openFor(t, "/dev/full");
  for (const sink of [new LogSink(fd), new LogSink(1_000_000)]) {
    for (let index = 0; index < 100; index += 1) {
      sink.write(LINE);
      if (index % 10 === 0) await turn();
      if (index % 25 === 0) sink.flush();
    }
    sink.flush();
  }
});

test("what is beyond the bound is dropped, and later lines are written again", async (t) => {
  const path = join(makeTempDir(t), "log");
  const sink = new LogSink(openFor(t, path));
  for (let index = 0; index < 3000; index += 1) sink.write(LINE);
  sink.flush();
  sink.write("last\n");
  while (!readFileSync(path, "utf8").includes("last\n")) await turn();
  const { length } = readFileSync(path);
  ok(length > 2 ** 20 && length < 2 ** 20 + 2 * LINE.length, `${length}`);
});

test("settled waits for what a helper thread writes, and not for ever", async (t) => {
  const path = join(makeTempDir(t), "log");
  const sink = new LogSink(openFor(t, path));
  sink.write(LINE);
  sink.flush();
  await sink.settled(60_000);
  strictEqual(readFileSync(path, "utf8"), LINE);
  const fifo = join(makeTempDir(t), "fifo");
  execFileSync("mkfifo", [fifo]);
  const reader = openSync(fifo, "r+");
  t.after(() => closeSync(reader));
  const stuck = new LogSink(openFor(t, fifo));
  const count = 1000;
  for (let index = 0; index < count; index += 1) stuck.write(LINE);
  // Its reader takes nothing.
  await stuck.settled(20);
  const piece = Buffer.alloc(2 ** 16);
  for (let left = count * LINE.length; left > 0; ) {
    left -= await new Promise<number>((resolve) => {
      read(reader, piece, 0, piece.length, null, (_error, taken) => resolve(taken));
    });
  }
  await stuck.settled(60_000);
});
