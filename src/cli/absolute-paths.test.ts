// Tests of paths made absolute in a pipe's text.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { planPipe } from "../pipe/pipe-plan.ts";
import { withAbsolutePaths } from "./absolute-paths.ts";

const FOLDER = "/home/some one";

test("withAbsolutePaths resolves bare paths, secrets' files and sockets, and nothing else", () => {
  const cases: readonly (readonly [text: string, expected: string])[] = [
    ["./a.img | nbd://h:1/a", "/home/some%20one/a.img | nbd://h:1/a"],
    ["a/../b.img?size=1GiB | nbd://h/a", "/home/some%20one/b.img?size=1GiB | nbd://h/a"],
    ["../x%7Cy.img#l | nbd://h/a", "/home/x%7Cy.img#l | nbd://h/a"],
    ["/a | nbd://h/a", "/a | nbd://h/a"],
    ["file:///a | nbd://h/a", "file:///a | nbd://h/a"],
    [
      "mirror(./a, nbd://h/b, ./c | crypt?key=file:k) | nbd+unix:///n?socket=s.sock",
      "mirror(/home/some%20one/a, nbd://h/b, /home/some%20one/c | " +
        "crypt?key=file:/home/some%20one/k) | nbd+unix:///n?socket=/home/some%20one/s.sock",
    ],
    ["/a | crypt?key=env:KEY | nbd://h/a", "/a | crypt?key=env:KEY | nbd://h/a"],
    [
      "/a | crypt?key=file:/k | nbd://h/a?description=./x",
      "/a | crypt?key=file:/k | nbd://h/a?description=./x",
    ],
    ["./a | | nonsense", "./a | | nonsense"],
  ];
  for (const [text, expected] of cases) strictEqual(withAbsolutePaths(text, FOLDER), expected);
});

test("withAbsolutePaths leaves a text that is planned as before", () => {
  const text = "mirror(./a?size=1MiB, ./b) | limit#x?iops=5 | nbd://127.0.0.1:0/v";
  const absolute = withAbsolutePaths(text, process.cwd());
  strictEqual(planPipe(absolute).branch.filters.length, planPipe(text).branch.filters.length);
  strictEqual(withAbsolutePaths(absolute, "/elsewhere"), absolute);
});
