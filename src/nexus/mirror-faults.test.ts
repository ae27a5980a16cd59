// What a mirror does when children fail, refuse, or differ: who is taken out, what a client hears.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { Operation, RequestFlag, Support } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { Status } from "../block/status.ts";
import { type MirrorRig, sleepOn, statesOf, withMirror } from "../testing/mirror-rig.ts";
import { HANG, PASS, type ScriptedFilter, type Turn } from "../testing/scripted-filter.ts";
import type { Membership } from "./membership.ts";
import type { Mirror } from "./mirror.ts";
import type { IntentWaiter } from "./write-intent.ts";

const BLOCK = 4096;

const fail = (status: Status): Turn => ({ kind: "fail", status });
const ask = (mirror: Mirror, operation: Operation, flags = 0): Promise<Status> => {
  const length = operation === Operation.flush ? 0 : BLOCK;
  return new AwaitedRequest().run(mirror, { operation, length, flags });
};
const page = (value: number): Uint8Array => new Uint8Array(BLOCK).fill(value);
/** Strikes requests of one operation. */
const on =
  (operation: Operation, turn: Turn) =>
  (request: Request): Turn =>
    request.operation === operation ? turn : PASS;

function leg(rig: MirrorRig, index: number): ScriptedFilter {
  const found = rig.legs[index];
  ok(found !== undefined);
  return found;
}

for (const status of [Status.mediaError, Status.pathLost, Status.dataLost, Status.notReady]) {
  test(`a child that fails a write with status ${status} is out before the client hears`, () =>
    withMirror(3, {}, async (rig) => {
      const { mirror, device, events } = rig;
      leg(rig, 1).script = on(Operation.write, fail(status));
      await device.writeAt(BLOCK, page(7));
      deepStrictEqual(
        statesOf(mirror).map((state) => state === "in-sync"),
        [true, false, true],
      );
      const { fault } = (mirror.describe().children as { fault: Record<string, unknown> }[])[1] as {
        fault: Record<string, unknown>;
      };
      match(String(fault.reason), /^write of 4096 bytes at 4096: /);
      match(String(fault.time), /^\d+ms$/);
      deepStrictEqual([fault.operation, fault.offset], ["write", BLOCK]);
      deepStrictEqual(
        events.map(({ code }) => code),
        ["child-faulted"],
      );
      const before = leg(rig, 1).started;
      await device.writeAt(0, page(8));
      await device.flush();
      deepStrictEqual(await device.readAt(BLOCK, BLOCK), page(7));
      strictEqual(leg(rig, 1).started, before, "a faulted child is asked nothing");
    }));
}

test("a refusal by all children alike is the client's, and faults nobody", () =>
  withMirror(3, {}, async ({ mirror, legs, events }) => {
    for (const status of [Status.unsupported, Status.invalid, Status.reservationConflict]) {
      for (const each of legs) each.script = on(Operation.writeZeroes, fail(status));
      strictEqual(await ask(mirror, Operation.writeZeroes), status);
    }
    deepStrictEqual(statesOf(mirror), ["in-sync", "in-sync", "in-sync"]);
    deepStrictEqual(events, []);
    strictEqual(mirror.describe().legsMayDiffer, undefined);
  }));

test("when all run out of space half-way, nobody is faulted and reads keep to one child", () =>
  withMirror(2, { readPolicy: "least-loaded" }, async ({ mirror, legs, events, device }) => {
    for (const each of legs) each.script = on(Operation.writeZeroes, fail(Status.noSpace));
    strictEqual(await ask(mirror, Operation.writeZeroes), Status.noSpace);
    deepStrictEqual(statesOf(mirror), ["in-sync", "in-sync"]);
    deepStrictEqual(
      events.map(({ code }) => code),
      ["legs-differ"],
    );
    for (let round = 0; round < 4; round++) await device.readAt(0, BLOCK);
    deepStrictEqual(
      mirror.children.map(({ reads }) => reads),
      [4, 0],
    );
    strictEqual(mirror.describe().legsMayDiffer, true);
  }));

test("a child that refuses what others have done is out", () =>
  withMirror(3, {}, async (rig) => {
    const { mirror, device } = rig;
    leg(rig, 0).script = on(Operation.write, fail(Status.noSpace));
    await device.writeAt(0, page(1));
    deepStrictEqual(statesOf(mirror), ["no-space", "in-sync", "in-sync"]);
    // Both refuse, each in its own way: the first one's word counts.
    leg(rig, 1).script = on(Operation.discard, fail(Status.noSpace));
    leg(rig, 2).script = on(Operation.discard, fail(Status.aborted));
    strictEqual(await ask(mirror, Operation.discard), Status.noSpace);
    deepStrictEqual(statesOf(mirror), ["no-space", "in-sync", "aborted"]);
  }));

test("zeroes that are fast on one child only are written slowly on the other", () =>
  withMirror(2, {}, async (rig) => {
    const { mirror, device } = rig;
    await device.writeAt(0, page(1));
    leg(rig, 1).script = (request) =>
      (request.flags & RequestFlag.fastZero) === 0 ? PASS : fail(Status.unsupported);
    strictEqual(await ask(mirror, Operation.writeZeroes, RequestFlag.fastZero), Status.ok);
    deepStrictEqual(statesOf(mirror), ["in-sync", "in-sync"]);
    for (const each of rig.legs) each.script = on(Operation.read, PASS);
    for (let round = 0; round < 2; round++) deepStrictEqual(await device.readAt(0, BLOCK), page(0));
    for (const each of rig.legs) each.script = () => fail(Status.unsupported);
    strictEqual(await ask(mirror, Operation.writeZeroes, RequestFlag.fastZero), Status.unsupported);
  }));

test("a discard that one child does not do is write-zeroes on all", () => {
  const legOptions = [{}, { operations: { discard: Support.refuse } }];
  return withMirror(2, { legOptions }, async ({ mirror, legs, device }) => {
    await device.writeAt(0, page(1));
    const asked: Operation[] = [];
    for (const each of legs) {
      each.script = (request) => {
        asked.push(request.operation);
        return PASS;
      };
    }
    await device.discard(0, BLOCK);
    deepStrictEqual(asked, [Operation.writeZeroes, Operation.writeZeroes]);
    deepStrictEqual(await device.readAt(0, BLOCK), page(0));
    strictEqual(mirror.operations.discard, Support.translate);
  });
});

test("a read that fails goes on with another child, and the client sees data only", () =>
  withMirror(3, { readPolicy: "least-loaded" }, async (rig) => {
    const { mirror, device } = rig;
    await device.writeAt(0, page(9));
    leg(rig, 0).script = on(Operation.read, fail(Status.mediaError));
    leg(rig, 1).script = on(Operation.read, fail(Status.pathLost));
    for (let round = 0; round < 4; round++) deepStrictEqual(await device.readAt(0, BLOCK), page(9));
    deepStrictEqual(statesOf(mirror), ["media-error", "path-lost", "in-sync"]);
  }));

test("a read that a child refuses without being broken goes elsewhere and faults nobody", () =>
  withMirror(2, { readPolicy: "least-loaded" }, async (rig) => {
    await rig.device.writeAt(0, page(9));
    leg(rig, 0).script = on(Operation.read, fail(Status.aborted));
    for (let round = 0; round < 4; round++) {
      deepStrictEqual(await rig.device.readAt(0, BLOCK), page(9));
    }
    deepStrictEqual(statesOf(rig.mirror), ["in-sync", "in-sync"]);
    leg(rig, 1).script = on(Operation.read, fail(Status.aborted));
    await rejectsWith(rig.device.readAt(0, BLOCK), "aborted");
  }));

async function rejectsWith(promise: Promise<unknown>, code: string): Promise<void> {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  strictEqual((error as { code?: string } | null)?.code, code);
}

test("the last child's error is the mirror's, and it stays", () =>
  withMirror(2, {}, async (rig) => {
    const { mirror, device, events } = rig;
    await device.writeAt(0, page(5));
    for (const each of rig.legs) each.script = on(Operation.write, fail(Status.mediaError));
    await rejectsWith(device.writeAt(0, page(6)), "media-error");
    const states = statesOf(mirror);
    strictEqual(states.filter((state) => state === "in-sync").length, 1);
    await rejectsWith(device.writeAt(0, page(6)), "media-error");
    deepStrictEqual(
      events.map(({ code }) => code),
      ["child-faulted", "last-child-failed"],
    );
    deepStrictEqual(await device.readAt(0, BLOCK), page(5));
    for (const each of rig.legs) each.script = () => PASS;
    await device.writeAt(0, page(6));
    deepStrictEqual(statesOf(mirror), states);
  }));

test("a flush that fails on the last child is never retried into success", () =>
  withMirror(2, {}, async (rig) => {
    const { mirror, device } = rig;
    for (const each of rig.legs) each.script = on(Operation.flush, fail(Status.mediaError));
    await rejectsWith(device.flush(), "media-error");
    for (const each of rig.legs) each.script = () => PASS;
    for (const operation of [Operation.flush, Operation.discard, Operation.writeZeroes]) {
      strictEqual(await ask(mirror, operation), Status.mediaError);
    }
    await rejectsWith(device.readAt(0, BLOCK), "media-error");
    strictEqual(mirror.describe().broken, "media-error");
  }));

test("a flush that all children refuse for want of space is a failed flush", () =>
  withMirror(2, {}, async ({ mirror, legs }) => {
    for (const each of legs) each.script = on(Operation.flush, fail(Status.noSpace));
    strictEqual(await ask(mirror, Operation.flush), Status.noSpace);
    strictEqual(statesOf(mirror).filter((state) => state === "no-space").length, 1);
    for (const each of legs) each.script = () => PASS;
    strictEqual(await ask(mirror, Operation.flush), Status.noSpace);
  }));

test("any failed flush takes a child out, also one that blames the request", () =>
  withMirror(2, {}, async (rig) => {
    leg(rig, 0).script = on(Operation.flush, fail(Status.noSpace));
    await rig.device.flush();
    deepStrictEqual(statesOf(rig.mirror), ["no-space", "in-sync"]);
  }));

test("a flush does not count on a child that is out by the time it ends", () =>
  withMirror(2, {}, async (rig) => {
    const { mirror } = rig;
    leg(rig, 1).script = on(Operation.flush, HANG);
    const flushed = ask(mirror, Operation.flush);
    leg(rig, 0).script = on(Operation.writeZeroes, fail(Status.mediaError));
    strictEqual(await ask(mirror, Operation.writeZeroes), Status.ok);
    deepStrictEqual(statesOf(mirror), ["media-error", "in-sync"]);
    leg(rig, 1).letGoWith(Status.mediaError);
    strictEqual(await flushed, Status.mediaError);
  }));

test("flushes go to the children that flush; the mirror flushes if any does", () => {
  const legOptions = [{ operations: { flush: Support.refuse } }, {}];
  return withMirror(2, { legOptions }, async (rig) => {
    strictEqual(rig.mirror.operations.flush, Support.translate);
    await rig.device.flush();
    deepStrictEqual(
      rig.legs.map(({ started }) => started),
      [0, 1],
    );
    leg(rig, 1).script = on(Operation.flush, fail(Status.pathLost));
    await rig.device.flush();
    await rig.device.flush();
    deepStrictEqual(statesOf(rig.mirror), ["in-sync", "path-lost"]);
  });
});

test("flags reach all children", () =>
  withMirror(2, {}, async (rig) => {
    const flags: number[] = [];
    for (const each of rig.legs) {
      each.script = (request) => {
        flags.push(request.flags);
        return PASS;
      };
    }
    await rig.device.writeAt(0, page(1), { fua: true });
    await rig.device.writeZeroes(0, BLOCK, { fua: true });
    deepStrictEqual(flags, [1, 1, 1, 1]);
    await ask(rig.mirror, Operation.writeZeroes, RequestFlag.noUnmap);
    deepStrictEqual(flags.slice(4), [RequestFlag.noUnmap, RequestFlag.noUnmap]);
  }));

test("nothing is acknowledged before a child's removal is decided", () => {
  const decisions: ((isDecided: boolean) => void)[] = [];
  const membership: Membership = { decideOut: (_child, decided) => decisions.push(decided) };
  return withMirror(3, { membership }, async (rig) => {
    const { device } = rig;
    leg(rig, 0).script = on(Operation.write, fail(Status.mediaError));
    const ends: string[] = [];
    const first = device.writeAt(0, page(1)).then(() => ends.push("first"));
    await sleepOn(rig.reactor, 5);
    const second = device.writeAt(BLOCK, page(2)).then(() => ends.push("second"));
    const flushed = device.flush().then(() => ends.push("flush"));
    deepStrictEqual(await device.readAt(8 * BLOCK, BLOCK), page(0));
    await sleepOn(rig.reactor, 5);
    deepStrictEqual(ends, []);
    strictEqual(decisions.length, 1);
    decisions[0]?.(true);
    await Promise.all([first, second, flushed]);
    deepStrictEqual([...ends].sort(), ["first", "flush", "second"]);
  });
});

test("a write is sent to no child before its region is marked", () => {
  const waiting: IntentWaiter[] = [];
  const ranges: [offset: number, length: number][] = [];
  const writeIntent = {
    beforeWrite: (offset: number, length: number, waiter: IntentWaiter): boolean => {
      ranges.push([offset, length]);
      waiting.push(waiter);
      return false;
    },
  };
  return withMirror(2, { writeIntent }, async (rig) => {
    let isWritten = false;
    const written = rig.device.writeAt(BLOCK, page(1)).then(() => {
      isWritten = true;
    });
    await sleepOn(rig.reactor, 5);
    deepStrictEqual(
      rig.legs.map(({ started }) => started),
      [0, 0],
    );
    strictEqual(isWritten, false);
    waiting[0]?.regionMarked();
    await written;
    deepStrictEqual(ranges, [[BLOCK, BLOCK]]);
  });
});
