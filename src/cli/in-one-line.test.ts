// Tests of words of others in lines of ours.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { inOneLine } from "./in-one-line.ts";

test("inOneLine leaves no further lines and no orders to the terminal", () => {
  const text = "nqn.a\r\nready nbd://x\u001b[31m\u009b1m\u2028\u2029\u007f é";
  strictEqual(inOneLine(text), "nqn.a  ready nbd://x [31m 1m    é");
});
