// Tests of the completion ring: order, growth, chains without recursion.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { CompletionRing, type Finishable } from "./completion-ring.ts";

class Noting implements Finishable {
  readonly #log: [number, number][];
  readonly #id: number;

  constructor(log: [number, number][], id: number) {
    this.#log = log;
    this.#id = id;
  }

  finish(status: number): void {
    this.#log.push([this.#id, status]);
  }
}

test("drain delivers in order, with the status, when the ring has grown and wrapped", () => {
  const ring = new CompletionRing(() => {});
  const log: [number, number][] = [];
  const expected: [number, number][] = [];
  let pushed = 0;
  for (const [push, drain] of [
    [200, 150],
    [200, 10],
    [2000, 2240],
  ] as const) {
    for (let index = 0; index < push; index++, pushed++) {
      ring.push(new Noting(log, pushed), pushed % 17);
      expected.push([pushed, pushed % 17]);
    }
    strictEqual(ring.drain(drain), drain);
  }
  strictEqual(ring.isEmpty, true);
  deepStrictEqual(log, expected);
});

test("wake is called when the ring stops being empty, and not for every push", () => {
  let wakes = 0;
  const ring = new CompletionRing(() => wakes++);
  const log: [number, number][] = [];
  ring.push(new Noting(log, 0), 0);
  ring.push(new Noting(log, 1), 0);
  strictEqual(wakes, 1);
  strictEqual(ring.drain(1), 1);
  ring.push(new Noting(log, 2), 0);
  strictEqual(wakes, 1);
  strictEqual(ring.drain(10), 2);
  ring.push(new Noting(log, 3), 0);
  strictEqual(wakes, 2);
});

test("drain stops at its limit when completions bring further ones", () => {
  const ring = new CompletionRing(() => {});
  let finished = 0;
  const endless: Finishable = {
    finish() {
      finished++;
      ring.push(endless, 0);
    },
  };
  ring.push(endless, 0);
  strictEqual(ring.drain(100_000), 100_000);
  strictEqual(finished, 100_000);
  strictEqual(ring.isEmpty, false);
});

test("the ring goes on when a completion throws", () => {
  const ring = new CompletionRing(() => {});
  const log: [number, number][] = [];
  ring.push(
    {
      finish() {
        throw new Error("a bug");
      },
    },
    0,
  );
  ring.push(new Noting(log, 1), 3);
  let message = "";
  try {
    ring.drain(10);
  } catch (error) {
    message = (error as Error).message;
  }
  strictEqual(message, "a bug");
  strictEqual(ring.drain(10), 1);
  deepStrictEqual(log, [[1, 3]]);
});
