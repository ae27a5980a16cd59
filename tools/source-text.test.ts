// Tests of the scanner: what is blanked, what stays, and that nothing moves.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { readTree, ROOT } from "./source-tree.ts";
import { SourceText } from "./source-text.ts";

const source = (text: string): SourceText => new SourceText("src/util/sample.ts", text);

test("SourceText blanks comments and strings when they hold code", () => {
  for (const [text, code] of [
    ["a; // b { c", "a;         "],
    ["a /* { \n } */ b", "a      \n      b"],
    ['x = "a // b";', 'x = "      ";'],
    ["x = 'it\\'s {';", "x = '       ';"],
    ["x = `{ ${y + `}${z}`} {`;", "x = `  ${y + ` ${z}`}  `;"],
    ["x = /[/{]\\/{/.test(y);", "x = /       /.test(y);"],
    ["x = a / b; // c / d", "x = a / b;         "],
    ["return /{/;", "return / /;"],
    ["x = {}; y = `${{ a: 1 }}`;", "x = {}; y = `${{ a: 1 }}`;"],
  ] as const) {
    strictEqual(source(text).code, code, text);
  }
});

test("SourceText keeps every character in its place when it reads our own tree", () => {
  for (const each of readTree(ROOT)) {
    strictEqual(each.code.length, each.text.length, each.path);
    strictEqual(each.code.split("\n").length, each.text.split("\n").length, each.path);
  }
});

test("SourceText finds imports of every form when they are not in comments or strings", () => {
  const text = `
import "./a.ts";
import b, { type B } from "./b.ts";
import type {
  C,
} from './c.ts';
export * from "./d.ts";
const e = await import("./e.ts");
const f = new Worker(new URL("./f.ts", import.meta.url));
const g = process.getBuiltinModule("node:g");
// import "./no.ts";
const no = "import './no.ts'";
`;
  deepStrictEqual(
    source(text).imports.map(({ specifier }) => specifier),
    ["./a.ts", "./b.ts", "./c.ts", "./d.ts", "./e.ts", "./f.ts", "node:g"],
  );
});

test("lineAt counts from one when asked for any offset", () => {
  const sample = source("a\nbc\n\nd");
  deepStrictEqual(
    [0, 1, 2, 4, 5, 6].map((offset) => sample.lineAt(offset)),
    [1, 1, 2, 2, 3, 4],
  );
});
