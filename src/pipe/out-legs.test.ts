// Tests of mirrors whose leg was taken out in an earlier run, down to what is recorded of it: such
// a mirror is the same device as before, and its legs keep their numbers.

import { deepStrictEqual, notStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { PromiseDevice } from "../block/promise-device.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { EMPTY_SNAPSHOT } from "../util/histogram-snapshot.ts";
import { Branch } from "./branch.ts";
import { parsePipe } from "./grammar.ts";
import { planBranch } from "./registry.ts";
import type { OutLeg } from "./stage-plan.ts";
import { type ChildStats, statsOfStages } from "./stage-stats.ts";

const BLOCK_BYTES = 4096;
const INSTANCE = "11111111-2222-4333-8444-555555555555";

/** Leg `faulty` (from 1) fails at its first write. Each states something that no other one does. */
function textOf(faulty: number): string {
  const legs = ["malloc:///a?size=3MiB", "malloc:///b?size=2MiB", "malloc:///c?size=1MiB"];
  const texts = legs.map((leg, index) => `${leg} | ${index + 1 === faulty ? FAULTS : "fault"}`);
  return `mirror(${texts.join(", ")})`;
}

const FAULTS = "fault?write=error";

interface Kept {
  readonly outLegs: readonly OutLeg[];
  readonly reopened: boolean;
}

interface Opened {
  readonly branch: Branch;
  /** As it comes back from a file. */
  readonly recorded: OutLeg[];
}

async function open(reactor: Reactor, text: string, kept: Kept): Promise<Opened> {
  const recorded: OutLeg[] = [];
  const branch = await Branch.open(planBranch(text, parsePipe(text).stages), {
    reactor,
    holder: "test",
    instanceSeed: INSTANCE,
    ...kept,
    recordOut: async (leg) => void recorded.push(JSON.parse(JSON.stringify(leg))),
  });
  return { branch, recorded };
}

function childrenOf(branch: Branch): readonly ChildStats[] {
  return statsOfStages(branch).find(({ kind }) => kind === "mirror")?.children ?? [];
}

for (const faulty of [1, 2, 3]) {
  test(`a mirror without its leg ${faulty} is the same device, its legs keep their numbers`, () =>
    withReactor("fake", async ({ reactor }) => {
      const text = textOf(faulty);
      const first = await open(reactor, text, { outLegs: [], reopened: false });
      const before = first.branch.top.device;
      await new PromiseDevice(before).writeAt(0, new Uint8Array(BLOCK_BYTES));
      deepStrictEqual(
        first.recorded.map(({ leg }) => leg),
        [`1.${faulty}`],
      );
      const { info, operations } = before;
      const namesBefore = childrenOf(first.branch).map(({ child, name }) => [child, name]);
      await first.branch.close();

      const second = await open(reactor, text, { outLegs: first.recorded, reopened: true });
      const after = second.branch.top.device;
      deepStrictEqual(after.info, info);
      deepStrictEqual(after.operations, operations);
      const device = new PromiseDevice(after);
      await device.writeAt(0, new Uint8Array(BLOCK_BYTES));
      deepStrictEqual(second.recorded, [], "what is out does not go out again");
      const children = childrenOf(second.branch);
      deepStrictEqual(
        children.map(({ child, name }) => [child, name]),
        namesBefore,
      );
      for (const { child, state, writes, errors, inFlight, latency } of children) {
        const isOut = child === faulty;
        strictEqual(state, isOut ? "faulted" : "in-sync");
        deepStrictEqual(
          { writes, errors, inFlight },
          { writes: isOut ? 0 : 1, errors: 0, inFlight: 0 },
        );
        if (isOut) deepStrictEqual(latency, EMPTY_SNAPSHOT);
      }
      await second.branch.close();
    }));
}

test("a second leg that goes out is recorded under its own place", () =>
  withReactor("fake", async ({ reactor }) => {
    const first = await open(reactor, textOf(1), { outLegs: [], reopened: false });
    await new PromiseDevice(first.branch.top.device).writeAt(0, new Uint8Array(BLOCK_BYTES));
    await first.branch.close();
    const text = textOf(1).replace("c?size=1MiB | fault", `c?size=1MiB | ${FAULTS}`);
    notStrictEqual(text, textOf(1));
    const second = await open(reactor, text, { outLegs: first.recorded, reopened: true });
    await new PromiseDevice(second.branch.top.device).writeAt(0, new Uint8Array(BLOCK_BYTES));
    deepStrictEqual(
      second.recorded.map(({ leg }) => leg),
      ["1.3"],
    );
    deepStrictEqual(
      childrenOf(second.branch).map(({ state }) => state),
      ["faulted", "in-sync", "faulted"],
    );
    await second.branch.close();
  }));

test("what depends on a removal that cannot be recorded is not acknowledged", () =>
  withReactor("fake", async ({ reactor }) => {
    const text = textOf(2);
    const branch = await Branch.open(planBranch(text, parsePipe(text).stages), {
      reactor,
      holder: "test",
      instanceSeed: INSTANCE,
      recordOut: async () => {
        throw new Error("the store is full");
      },
    });
    const device = new PromiseDevice(branch.top.device);
    for (let round = 0; round < 2; round++) {
      const status = await device.writeAt(0, new Uint8Array(BLOCK_BYTES)).catch(({ code }) => code);
      strictEqual(status, "aborted");
    }
    await branch.close();
  }));
