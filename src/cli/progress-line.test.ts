// Tests of the progress line: one line, within the terminal, gone afterwards; silent elsewhere.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { formatProgress, ProgressLine } from "./progress-line.ts";

const PROGRESS = { phase: "run", done: 0.335, iops: 1234.4, bytesPerSecond: 1234.4 * 4096 };

function draw(columns: number, isTTY: boolean): string[] {
  const written: string[] = [];
  const line = new ProgressLine({ isTTY, columns, write: (text) => written.push(text) });
  line.clear();
  line.show(PROGRESS);
  line.show({ ...PROGRESS, done: 1 });
  line.clear();
  line.clear();
  return written;
}

test("the line has phase, bar, percent and rates", () => {
  strictEqual(
    formatProgress(PROGRESS),
    "run       [########----------------]  33%  1234 IOPS  4.82MiB/s",
  );
  strictEqual(
    formatProgress({ phase: "read back", done: 1, iops: 0, bytesPerSecond: 0 }),
    "read back [########################] 100%  0 IOPS  0B/s",
  );
});

test("on a terminal it is drawn over itself, cut to the terminal's width, and removed once", () => {
  const clear = "\r\u001b[2K";
  const [first = "", second = "", ...rest] = draw(40, true);
  ok(first.startsWith(`${clear}run `) && second.startsWith(`${clear}run `));
  strictEqual(first.length - clear.length, 39);
  deepStrictEqual(rest, [clear]);
});

test("elsewhere nothing is written", () => {
  deepStrictEqual(draw(80, false), []);
});
