// Tests of the calls between threads: over a real MessageChannel, both ends on this thread.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { MessageChannel } from "node:worker_threads";
import { PenstockError } from "../util/errors.ts";
import { ControlChannel } from "./control-channel.ts";

interface Methods {
  double(params: number): Promise<number>;
  refuse(params: null): Promise<void>;
  crash(params: null): Promise<void>;
  wait(params: null): Promise<string>;
}

interface Rig {
  readonly near: ControlChannel<Methods, Record<never, never>, string, string>;
  readonly far: ControlChannel<Record<never, never>, Methods, string, string>;
  readonly notes: string[];
  readonly release: () => void;
}

function rigOf(t: TestContext): Rig {
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  const notes: string[] = [];
  const gate = Promise.withResolvers<void>();
  const methods: Methods = {
    double: async (value) => value * 2,
    refuse: async () => {
      throw new PenstockError({
        code: "refused",
        message: "no: 7 is more than 5",
        retryable: true,
        details: { limit: 5 },
      });
    },
    crash: async () => {
      throw new TypeError("a bug");
    },
    wait: async () => {
      await gate.promise;
      return "waited";
    },
  };
  const onNote = (note: string): void => void notes.push(note);
  return {
    near: new ControlChannel(port1, { methods: {}, onNote }),
    far: new ControlChannel(port2, { methods, onNote }),
    notes,
    release: gate.resolve,
  };
}

test("call gives each caller its own result when answers come in another order", async (t) => {
  const { near, release } = rigOf(t);
  const slow = near.call("wait", null);
  deepStrictEqual(await Promise.all([near.call("double", 4), near.call("double", 5)]), [8, 10]);
  release();
  strictEqual(await slow, "waited");
});

test("call rejects with the same code, words and details when the method throws", async (t) => {
  const { near } = rigOf(t);
  await rejects(near.call("refuse", null), (error: unknown) => {
    ok(error instanceof PenstockError);
    strictEqual(error.code, "refused");
    strictEqual(error.message, "no: 7 is more than 5");
    strictEqual(error.retryable, true);
    deepStrictEqual(error.details, { limit: 5 });
    return true;
  });
  await rejects(near.call("crash", null), (error: unknown) => {
    ok(error instanceof PenstockError && error.code === "internal");
    ok(error.stack?.includes("control-channel.test.ts"), "the stack of the bug itself");
    return true;
  });
});

test("call rejects when the method is not there, even a name of Object's own", async (t) => {
  const { near } = rigOf(t);
  for (const name of ["triple", "toString", "constructor"]) {
    await rejects(near.call(name as "double", 1), { code: "internal" });
  }
});

test("end rejects calls under way and later ones, and silences notes", async (t) => {
  const { near, far, notes } = rigOf(t);
  near.note("one");
  const waiting = near.call("wait", null);
  const gone = new PenstockError({ code: "gone", message: "the other side is gone" });
  near.end(gone);
  await rejects(waiting, gone);
  await rejects(near.call("double", 1), gone);
  near.note("two");
  far.note("three");
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  deepStrictEqual(notes.sort(), ["one", "three"]);
});
