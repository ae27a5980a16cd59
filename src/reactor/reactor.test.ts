// Tests of the reactor's turn: what it does, in which order, and what runs outside of it.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { Finishable } from "./completion-ring.ts";
import { FakeWorld } from "./fake/fake-world.ts";
import { type Flushable, Reactor } from "./reactor.ts";
import { TEST_LEVELS, withReactor } from "./test-reactor.ts";

class Output implements Flushable {
  isDirty = false;
  readonly #log: string[];
  readonly #name: string;
  /** Run inside flush. */
  onFlush: (() => void) | null = null;

  constructor(log: string[], name: string) {
    this.#log = log;
    this.#name = name;
  }

  flush(): void {
    this.#log.push(`flush ${this.#name}`);
    this.onFlush?.();
  }
}

function completion(log: string[], name: string, then: () => void = () => {}): Finishable {
  return {
    finish: () => {
      log.push(`finish ${name}`);
      then();
    },
  };
}

function makeReactor(): Reactor {
  return new Reactor({ id: 0, io: new FakeWorld({ seed: 1 }).process().io });
}

test("a turn finishes requests, wakes waiters, then flushes each output once", () => {
  const reactor = makeReactor();
  const log: string[] = [];
  const output = new Output(log, "a");
  const waiter = { buffersAvailable: () => void log.push("buffers") };
  const buffer = reactor.buffers.acquire(4096);
  reactor.buffers.wait(waiter);
  reactor.completions.push(
    completion(log, "1", () => {
      reactor.markDirty(output);
      buffer?.release();
    }),
    0,
  );
  reactor.completions.push(
    completion(log, "2", () => reactor.markDirty(output)),
    0,
  );
  strictEqual(reactor.runTurn(), true);
  deepStrictEqual(log, ["finish 1", "finish 2", "buffers", "flush a"]);
  strictEqual(output.isDirty, false);
  strictEqual(reactor.runTurn(), false);
  deepStrictEqual(log.length, 4);
});

test("an output that becomes dirty while outputs are flushed has the next turn", () => {
  const reactor = makeReactor();
  const log: string[] = [];
  const [a, b] = [new Output(log, "a"), new Output(log, "b")];
  a.onFlush = () => {
    a.onFlush = null;
    reactor.markDirty(a);
    reactor.markDirty(b);
  };
  reactor.markDirty(a);
  strictEqual(reactor.runTurn(), true);
  deepStrictEqual(log, ["flush a"]);
  strictEqual(reactor.runTurn(), true);
  deepStrictEqual(log, ["flush a", "flush a", "flush b"]);
  strictEqual(reactor.runTurn(), false);
});

test("a turn flushes in between when completions never end", () => {
  const reactor = makeReactor();
  const log: string[] = [];
  const output = new Output(log, "a");
  let finished = 0;
  const endless: Finishable = {
    finish: () => {
      finished++;
      reactor.completions.push(endless, 0);
    },
  };
  reactor.completions.push(endless, 0);
  reactor.markDirty(output);
  strictEqual(reactor.runTurn(), true);
  strictEqual(finished, 1024);
  deepStrictEqual(log, ["flush a"]);
});

for (const level of TEST_LEVELS) {
  test(`turns come by themselves when there is work, at ${level}`, () =>
    withReactor(level, async ({ reactor }) => {
      const log: string[] = [];
      await new Promise<void>((resolve) => {
        const last = completion(log, "2", () => reactor.deliverLater(resolve));
        const first = completion(log, "1", () => reactor.completions.push(last, 0));
        reactor.completions.push(first, 0);
        log.push("pushed");
      });
      await new Promise<void>((resolve) => {
        const output = new Output(log, "a");
        output.onFlush = () => reactor.deliverLater(resolve);
        reactor.markDirty(output);
      });
      deepStrictEqual(log, ["pushed", "finish 1", "finish 2", "flush a"]);
    }));

  test(`deliveries keep their order and let promises run in between, at ${level}`, () =>
    withReactor(level, async ({ reactor }) => {
      const log: string[] = [];
      await new Promise<void>((resolve) => {
        reactor.deliverLater(() => {
          log.push("1");
          reactor.deliverLater(() => {
            log.push("3");
            resolve();
          });
          void Promise.resolve().then(() => log.push("promise"));
        });
        reactor.deliverLater(() => log.push("2"));
        log.push("0");
      });
      deepStrictEqual(log, ["0", "1", "2", "promise", "3"]);
    }));
}

test("newStream gives numbers that no other reactor gives", () =>
  withReactor("fake", async ({ reactor, world }) => {
    ok(world !== null);
    const other = new Reactor({ id: 1, io: world.process().io });
    const numbers = [reactor, other].flatMap((each) => [each.newStream(), each.newStream()]);
    strictEqual(new Set(numbers).size, 4);
    ok(numbers.every((number) => number > 0));
  }));
