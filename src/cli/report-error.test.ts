// Tests of what a person sees of an error, and of the exit code that goes with it.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { CommanderError } from "commander";
import { RemoteError } from "../api/remote-error.ts";
import { planPipe } from "../pipe/pipe-plan.ts";
import { AssertionError } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { reportError } from "./report-error.ts";

test("reportError shows code and message, and exits 1 when something did not work", () => {
  const error = new PenstockError({ code: "not-found", message: "/x does not exist" });
  deepStrictEqual(reportError(error), {
    text: "penstock: not-found: /x does not exist",
    exitCode: 1,
  });
});

test("reportError draws the caret and exits 2 when a pipe's text is wrong", () => {
  let thrown: unknown;
  try {
    planPipe("/a/b | nbe://h/x");
  } catch (error) {
    thrown = error;
  }
  const { text, exitCode } = reportError(thrown);
  strictEqual(exitCode, 2);
  const lines = text.split("\n");
  ok(lines[0]?.startsWith("penstock: unknown-scheme: found the scheme"));
  deepStrictEqual(lines.slice(1), ["  /a/b | nbe://h/x", "         ^"]);
});

test("reportError tells of quotes when the shell has cut a pipe", () => {
  const thrownBy = (text: string): unknown => {
    try {
      return planPipe(text);
    } catch (error) {
      return error;
    }
  };
  const cut = reportError(thrownBy("/a/b?size=1MiB")).text;
  ok(cut.includes("missing-share: ") && cut.includes("in quotes: 'SOURCE | SHARE'"), cut);
  const other = reportError(thrownBy("/a/b | limit?iops=5")).text;
  ok(other.includes("missing-share: ") && !other.includes("quotes"), other);
});

test("reportError tells where names are listed when an engine knows none such", () => {
  const options = { isBadRequest: false, excerpt: [], field: "" };
  const message = 'there is no pipe "a"';
  deepStrictEqual(reportError(new RemoteError({ ...options, code: "pipe-not-found", message })), {
    text: `penstock: pipe-not-found: ${message} (\`penstock pipe list\` lists them)`,
    exitCode: 1,
  });
});

test("reportError turns commander's codes into ours and exits 2", () => {
  const error = new CommanderError(1, "commander.unknownOption", "error: unknown option '-x'");
  deepStrictEqual(reportError(error), {
    text: "penstock: unknown-option: unknown option '-x'",
    exitCode: 2,
  });
});

test("reportError shows the stack and exits 70 when it is a bug", () => {
  for (const bug of [new TypeError("oops"), new AssertionError("never")]) {
    const { text, exitCode } = reportError(bug);
    strictEqual(exitCode, 70);
    ok(text.startsWith("penstock: internal: "), text);
    ok(text.includes("report-error.test.ts"), text);
  }
});
