// Tests of targets: pipes without a share, connections put in, what may be overwritten.

import { deepStrictEqual, match, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { GrammarError } from "../pipe/grammar-error.ts";
import { planTarget } from "./target.ts";

test("connections become the option of an nbd source, in the place of its own", () => {
  const text = (uri: string, connections?: number): string => planTarget(uri, connections).text;
  strictEqual(text("nbd://h:1/x"), "nbd://h:1/x");
  strictEqual(text("nbd://h:1/x", 8), "nbd://h:1/x?connections=8");
  strictEqual(
    text("nbd://h:1/x?connections=2&timeout=1s | limit?iops=5", 8),
    "nbd://h:1/x?timeout=1s&connections=8 | limit?iops=5",
  );
  strictEqual(text("nvmf://h/nqn.2026-11.x:y", 2), "nvmf://h/nqn.2026-11.x:y?queues=2");
  strictEqual(text("nbd+unix:///x?socket=/s", 1), "nbd+unix:///x?socket=/s&connections=1");
});

test("connections of anything else are refused", () => {
  for (const [uri, name] of [
    ["malloc:///x?size=1MiB", "malloc://"],
    ["./a.img", "file://"],
    ["mirror(nbd://h:1/x, nbd://h:2/x)", "mirror"],
  ] as const) {
    throws(
      () => planTarget(uri, 2),
      (error: Error) => {
        match(error.message, /--connections 2/);
        return error.message.includes(`source of ${name}`);
      },
    );
  }
});

test("a share and a wrong text are refused at their place", () => {
  const cases = [
    ["malloc:///x?size=1MiB | nbd://127.0.0.1:0/x", "unexpected-share", 24],
    ["malloc:///x?size=1MiB | limt?iops=5", "unknown-stage", 24],
    ["nbd://127.0.0.1:0/x", "bad-port", 6],
  ] as const;
  for (const [text, code, at] of cases) {
    throws(
      () => planTarget(text, undefined),
      (error: GrammarError) => {
        deepStrictEqual([error.code, error.offset], [code, at]);
        return error instanceof GrammarError;
      },
    );
  }
});

test("only memory is scratch, and what stands on nothing else", () => {
  const isScratch = (text: string): boolean => planTarget(text, undefined).isScratch;
  const scratch = ["null:///x?size=1MiB", "malloc:///x?size=1MiB | limit?iops=1"];
  const mirror = "mirror(malloc:///a?size=1MiB, malloc:///b?size=1MiB)";
  for (const text of [...scratch, mirror]) strictEqual(isScratch(text), true, text);
  const kept = ["./a.img", "/dev/sdb", "nbd://h:1/x", "tap:///label"];
  const mixed = "mirror(malloc:///a?size=1MiB, ./a.img)";
  for (const text of [...kept, mixed]) strictEqual(isScratch(text), false, text);
});
