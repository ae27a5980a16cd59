// Tests of formatPipe on chosen trees; grammar.property.test.ts has the property over random ones.

import { strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import type { Pipe, UriStage } from "./ast.ts";
import { formatPipe } from "./formatter.ts";
import { parsePipe } from "./grammar.ts";

test("formatPipe gives the canonical text when the text was written otherwise", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["/a|log|nbd://h:010809/x", "file:///a | log | nbd://h:10809/x"],
    ["FILE:///a", "file:///a"],
    ["file:///%61%2f%20%7c%28%29%2C%3f%26%23%3B%25", "file:///a/%20%7C%28%29%2C%3F%26%23%3B%25"],
    ["x/y#l?a=b%2Fc", "x/y#l?a=b/c"],
    ["./a:b/c", "./a:b/c"],
    ["a%3Ab/c:d", "a%3Ab/c:d"],
    ["%7e/x/~", "%7E/x/~"],
    ["/a%0A%E2%80%AE", "file:///a%0A%E2%80%AE"],
    ["nbd://[FE80::1%25eth0]", "nbd://[FE80::1%25eth0]"],
    ["m(a;k=v)#l", "m#l(a)?k=v"],
    ["m( m(a|b) , c )", "m(m(a | b), c)"],
  ];
  for (const [text, canonical] of cases) {
    strictEqual(formatPipe(parsePipe(text)), canonical);
    strictEqual(formatPipe(parsePipe(canonical)), canonical);
  }
});

const NO_SPAN = { offset: 0, length: 0 };

const FILE: UriStage = {
  kind: "uri",
  scheme: "file",
  host: "",
  port: undefined,
  path: "/a",
  label: undefined,
  options: [],
  span: NO_SPAN,
  schemeSpan: NO_SPAN,
  authoritySpan: NO_SPAN,
  pathSpan: NO_SPAN,
};

test("formatPipe stops as on a bug when no text can stand for the tree", () => {
  const bad: readonly Pipe["stages"][] = [
    [],
    [{ ...FILE, path: "no-slash" }],
    [{ ...FILE, path: "a/b", host: "h" }],
    [{ ...FILE, path: "a/b", scheme: "nbd" }],
    [{ ...FILE, port: 1 }],
    [{ ...FILE, path: "/\ud800" }],
  ];
  for (const stages of bad) {
    throws(() => formatPipe({ stages, span: NO_SPAN }), { code: "assertion-failed" });
  }
});
