// Tests of the error's drawing: the caret stands below its character, and secrets stay hidden.

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { PenstockError } from "../util/errors.ts";
import { parsePipe } from "./grammar.ts";
import { GrammarError, quote } from "./grammar-error.ts";

function errorAt(text: string, offset: number, secret?: { offset: number; length: number }) {
  return new GrammarError({
    code: "test",
    text,
    span: { offset, length: 0 },
    message: "what is wrong",
    ...(secret === undefined ? {} : { secretSpan: secret }),
  });
}

function thrownBy(action: () => unknown): GrammarError {
  try {
    action();
  } catch (thrown) {
    ok(thrown instanceof GrammarError);
    return thrown;
  }
  throw new Error("nothing was thrown");
}

test("GrammarError is a PenstockError with code, offset and details", () => {
  const error = thrownBy(() => parsePipe("/a | limit?iops=5 burst=3"));
  ok(error instanceof PenstockError);
  deepStrictEqual(
    [error.name, error.code, error.offset, error.details, error.retryable],
    ["GrammarError", "unexpected", 18, { offset: 18, length: 7 }, false],
  );
});

test("render puts the caret below the character when the text fits", () => {
  strictEqual(
    thrownBy(() => parsePipe("/a | | nbd://h/x")).render(),
    [
      "/a | | nbd://h/x",
      "     ^",
      'found "|", expected a stage after "|": ' +
        "scheme://host/path, a path with a / in it, or a name",
    ].join("\n"),
  );
  strictEqual(errorAt("", 0).render(), "\n^\nwhat is wrong");
  strictEqual(errorAt("ab", 2).render(), "ab\n  ^\nwhat is wrong");
});

test("render keeps to one line when the text has line breaks and invisible characters", () => {
  strictEqual(errorAt("a\n\t\r\u0007b", 5).render(), "a   ?b\n     ^\nwhat is wrong");
  // A character of two code units takes one place, so that the caret stays below the next.
  strictEqual(errorAt("😀b", 2).render(), "😀b\n ^\nwhat is wrong");
});

test("render shows what stands around the caret when the text is long", () => {
  const text = Array.from({ length: 100 }, (_, index) => `<${index}>`).join("");
  for (const columns of [20, 40, 77, 100]) {
    for (const wanted of ["<0>", "<1>", "<9>", "<50>", "<97>", "<99>"]) {
      const [line = "", caret = ""] = errorAt(text, text.indexOf(wanted))
        .render(columns)
        .split("\n");
      strictEqual(line.length, columns);
      ok(line.startsWith(wanted, caret.indexOf("^")), `${wanted} in\n${line}\n${caret}`);
    }
    const [line = "", caret = ""] = errorAt(text, text.length).render(columns).split("\n");
    ok(line.endsWith("<99>") && line.startsWith("...") && caret.indexOf("^") === line.length);
  }
});

test("GrammarError masks what is or looks like a secret, wherever the error points", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["crypt?key=deadbeef | |", "crypt?key=******** | |"],
    ["crypt?Key=dead%41 | |", "crypt?Key=******* | |"],
    ["iscsi://h/i/0?chap=u:p&X", "iscsi://h/i/0?chap=***&X"],
    ["nbd://user:pass@host/x", "nbd://*********@host/x"],
    ["nbd://user:pass@a@host/x | |", "nbd://***********@host/x | |"],
    ["crypt?key=file:/etc/k | |", "crypt?key=file:/etc/k | |"],
    ["crypt?key=env:KEY | |", "crypt?key=env:KEY | |"],
  ];
  for (const [text, masked] of cases) {
    const error = thrownBy(() => parsePipe(text));
    strictEqual(error.text, masked);
    strictEqual(error.render().split("\n")[0], masked);
    strictEqual(/dead|user|pass@|u:p/.test(`${error.message}${error.stack}`), false, error.message);
  }
  strictEqual(errorAt("a=bcd", 0, { offset: 2, length: 2 }).text, "a=**d");
});

test("GrammarError stops as on a bug when the span is outside its text", () => {
  throws(() => errorAt("ab", 3), { code: "assertion-failed" });
  throws(() => errorAt("ab", -1), { code: "assertion-failed" });
});

test("quote shortens, masks and shows invisible characters as question marks", () => {
  strictEqual(quote("a"), '"a"');
  strictEqual(quote("a\nb\u0000"), '"a b?"');
  strictEqual(quote("x".repeat(40)), `"${"x".repeat(40)}"`);
  strictEqual(quote("x".repeat(1000)), `"${"x".repeat(40)}..."`);
  strictEqual(quote("key=deadbeef"), '"key=********"');
});
