// Tests of command lines cut as a shell cuts them.

import { deepStrictEqual } from "node:assert/strict";
import { test } from "node:test";
import { splitShellLine } from "./shell-words.ts";

test("splitShellLine cuts words, and knows what bash holds for earlier ones", () => {
  const cases: readonly (readonly [line: string, words: string[], cutLength: number])[] = [
    ["", [""], 0],
    ["penstock ", ["penstock", ""], 0],
    ["penstock  pipe sh", ["penstock", "pipe", "sh"], 0],
    ["p --engine unix:/x ", ["p", "--engine", "unix:/x", ""], 0],
    ["p --engine unix:/x", ["p", "--engine", "unix:/x"], 5],
    ["p --output=j", ["p", "--output=j"], 9],
    ["p run 'a | nbd://h", ["p", "run", "a | nbd://h"], 0],
    ['p run "a \\" b" c', ["p", "run", 'a " b', "c"], 0],
    ["p a\\ b", ["p", "a b"], 0],
    ["p '' ", ["p", "", ""], 0],
    ["ls; p x", ["p", "x"], 0],
    ["p a\\", ["p", "a"], 0],
  ];
  for (const [line, words, cutLength] of cases) {
    deepStrictEqual(splitShellLine(line), { words, cutLength }, line);
  }
});
