// Tests of pipes that change while they run: stages put in and taken out between joints, what is
// refused, what is undone, and taps.

import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import type { Device } from "../block/device.ts";
import { Filter, filterInfo, passAll } from "../block/filter.ts";
import type { Joint } from "../block/joint.ts";
import { Operation } from "../block/operation.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import type { Request } from "../block/request.ts";
import { Status } from "../block/status.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { TEST_LEVELS, withReactor } from "../reactor/test-reactor.ts";
import { Prng } from "../util/prng.ts";
import type { CallStage } from "./ast.ts";
import { Branch } from "./branch.ts";
import { parsePipe } from "./grammar.ts";
import { planBranch } from "./registry.ts";
import { insertStage, listStages, removeStage } from "./replumb.ts";
import { findStage, walkStages } from "./stage-address.ts";
import type { FilterPlan } from "./stage-plan.ts";

const BLOCK_BYTES = 4096;
const SIZE_BYTES = 2 ** 20;
const INSTANCE = "11111111-2222-4333-8444-555555555555";
const SOURCE = "malloc:///x?size=1MiB";

/** Keeps what it is given until it is told to hurry. */
class HoldingFilter extends Filter {
  isHolding = true;
  readonly #held: Request[] = [];

  constructor(below: Joint) {
    super(below, filterInfo(below, "holding", "holding"), passAll(below));
  }

  letGo(): void {
    for (const request of this.#held.splice(0)) this.pass(request);
  }

  override hurry(): void {
    if (this.isHolding) return;
    this.letGo();
  }

  protected override start(request: Request): void {
    this.#held.push(request);
  }
}

class PassingFilter extends Filter {
  constructor(below: Joint) {
    super(below, filterInfo(below, "passing", "passing"), passAll(below));
  }

  protected override start(request: Request): void {
    this.pass(request);
  }
}

const STAGE = parsePipe("passing").stages[0] as CallStage;

function planOf(make: (below: Joint) => Device): { plan: FilterPlan; stage: CallStage } {
  return { plan: { fixedBecause: null, open: async (_, below) => make(below) }, stage: STAGE };
}

const PASSING = planOf((below) => new PassingFilter(below));

async function openBranch(reactor: Reactor, text = SOURCE): Promise<Branch> {
  const plan = planBranch(text, parsePipe(text).stages);
  return Branch.open(plan, { reactor, holder: "test", instanceSeed: INSTANCE });
}

/** Writes blocks in turn, one client per block, and checks that each read gives the last write. */
class Client {
  rounds = 0;
  readonly #device: PromiseDevice;
  readonly #block: number;

  constructor(device: PromiseDevice, block: number) {
    this.#device = device;
    this.#block = block;
  }

  async run(isOver: () => boolean): Promise<void> {
    const offset = this.#block * BLOCK_BYTES;
    while (!isOver()) {
      this.rounds++;
      const data = new Uint8Array(BLOCK_BYTES).fill(this.rounds % 251);
      await this.#device.writeAt(offset, data);
      const back = await this.#device.readAt(offset, BLOCK_BYTES);
      ok(Buffer.from(back).equals(Buffer.from(data)), `block ${this.#block} lost a write`);
    }
  }
}

for (const level of TEST_LEVELS) {
  test(`stages come and go at every position under load, at ${level}`, () =>
    withReactor(level, async ({ reactor, seed }) => {
      const prng = new Prng(seed);
      const branch = await openBranch(reactor);
      const device = new PromiseDevice(branch.top.above);
      let isOver = false;
      const clients = Array.from({ length: 16 }, (_, index) => new Client(device, index));
      const running = clients.map((client) => client.run(() => isOver));
      for (let round = 0; round < 200; round++) {
        const position = prng.below(branch.stages.length);
        const lower = branch.stages[position];
        ok(lower !== undefined);
        if (branch.stages.length < 6 && prng.below(2) === 0) {
          await branch.insert(lower, PASSING, 2000);
        } else if (position > 0) {
          await branch.remove(lower, 2000);
        }
      }
      isOver = true;
      await Promise.all(running);
      for (const { rounds } of clients) ok(rounds > 0);
      strictEqual(branch.top.device.inFlight, 0);
      await branch.close();
    }));
}

test("a change that takes too long is undone, and I/O goes on as before", () =>
  withReactor("fake", async ({ reactor }) => {
    const branch = await openBranch(reactor);
    const holding: HoldingFilter[] = [];
    const make = (below: Joint): HoldingFilter => {
      const filter = new HoldingFilter(below);
      holding.push(filter);
      return filter;
    };
    await branch.insert(branch.top, planOf(make), 2000);
    const { top } = branch;
    const first = new AwaitedRequest().run(top.above, { operation: Operation.flush });
    const code = { code: "replumb-timeout", message: /1 requests of holding .* 50 ms/ };
    await rejects(branch.insert(top, PASSING, 50), code);
    const second = new AwaitedRequest().run(top.above, { operation: Operation.flush });
    await rejects(branch.remove(top, 50), { code: "replumb-timeout" });
    strictEqual(branch.stages.length, 2);
    strictEqual(top.above.waiting, 0);
    strictEqual(top.device.inFlight, 2);
    holding[0]?.letGo();
    deepStrictEqual(await Promise.all([first, second]), [Status.ok, Status.ok]);
    // What is held back of its own accord goes at once when the stage is taken out.
    const third = new AwaitedRequest().run(top.above, { operation: Operation.flush });
    if (holding[0] !== undefined) holding[0].isHolding = false;
    await branch.remove(top, 50);
    strictEqual(await third, Status.ok);
    strictEqual(branch.stages.length, 1);
    await branch.close();
  }));

test("two changes of one place do not run at a time", () =>
  withReactor("fake", async ({ reactor }) => {
    const branch = await openBranch(reactor);
    await branch.insert(
      branch.top,
      planOf((below) => new HoldingFilter(below)),
      2000,
    );
    const { top } = branch;
    const held = top.device as HoldingFilter;
    const request = new AwaitedRequest().run(top.above, { operation: Operation.flush });
    const first = branch.insert(top, PASSING, 1000);
    await rejects(branch.insert(top, PASSING, 1000), { code: "replumb-busy" });
    held.letGo();
    await first;
    strictEqual(await request, Status.ok);
    strictEqual(branch.stages.length, 3);
    await branch.close();
  }));

test("stages are found by label and by place, an unknown one is named with those there are", () =>
  withReactor("fake", async ({ reactor }) => {
    const branch = await openBranch(reactor, "malloc:///x#raw?size=1MiB");
    await branch.insert(branch.top, PASSING, 1000);
    strictEqual(findStage(branch, "raw").stage, branch.stages[0]);
    strictEqual(findStage(branch, "1").stage, branch.stages[0]);
    strictEqual(findStage(branch, "2").stage, branch.top);
    throws(() => findStage(branch, "gold"), {
      code: "stage-not-found",
      message: 'found no stage "gold", expected one of raw, 2',
    });
    deepStrictEqual(
      [...walkStages(branch)].map(({ place }) => place),
      ["1", "2"],
    );
    const listed = listStages(branch);
    deepStrictEqual(
      listed.map(({ id, kind, text }) => ({ id, kind, text })),
      [
        { id: "raw", kind: "malloc", text: "malloc:///x#raw?size=1MiB" },
        { id: "2", kind: "passing", text: "passing" },
      ],
    );
    strictEqual(listed[0]?.sizeBytes, SIZE_BYTES);
    strictEqual(branch.text, "malloc:///x#raw?size=1MiB | passing");
    await branch.close();
  }));

test("a change in a mirror's leg gives up before the mirror gives the leg up", () =>
  withReactor("fake", async ({ reactor }) => {
    const text = "mirror(malloc:///a?size=1MiB, malloc:///b?size=1MiB)?timeout=1s";
    const branch = await openBranch(reactor, text);
    const leg = branch.stages[0]?.legs[1];
    ok(leg !== undefined);
    await leg.insert(
      leg.top,
      planOf((below) => new HoldingFilter(below)),
      100,
    );
    const held = leg.top.device as HoldingFilter;
    const device = new PromiseDevice(branch.top.above);
    const writing = device.writeAt(0, new Uint8Array(BLOCK_BYTES));
    const inserting = insertStage(branch, { text: "delay", above: "1.2.1", timeoutMs: 60_000 });
    await inserting;
    const above = insertStage(branch, { text: "delay", above: "1.2.3", timeoutMs: 60_000 });
    await rejects(above, { code: "replumb-timeout", message: /500 ms/ });
    held.letGo();
    await writing;
    const children = branch.top.device.describe().children as { state: string }[];
    deepStrictEqual(
      children.map(({ state }) => state),
      ["in-sync", "in-sync"],
    );
    await branch.close();
  }));

test("sources stay, and what is no filter is not put in", () =>
  withReactor("fake", async ({ reactor }) => {
    const branch = await openBranch(reactor);
    await rejects(removeStage(branch, { stage: "1" }), {
      code: "stage-fixed",
      message: /cannot be taken out of a pipe that runs: it is the source/,
    });
    await rejects(insertStage(branch, { text: SOURCE }), { code: "not-a-filter" });
    await rejects(insertStage(branch, { text: "limitt?iops=5" }), { code: "unknown-stage" });
    const nowhere = insertStage(branch, { text: "limit?iops=5", above: "9" });
    await rejects(nowhere, ({ message }: Error) => {
      match(message, /9|not yet/);
      return true;
    });
    strictEqual(branch.stages.length, 1);
    await branch.close();
  }));

test("a tap reads what another pipe writes, refuses writes, and holds its stage in place", () =>
  withReactor("fake", async ({ reactor }) => {
    // Delays that differ: with several readers some request is always on its way.
    const text = "malloc:///x?size=1MiB | delay?time=2ms&jitter=2ms";
    const branch = await openBranch(reactor, text);
    await branch.insert(branch.top, PASSING, 1000);
    const { top: tapped } = branch;
    const tapText = "tap:///raw";
    const tap = await Branch.open(planBranch(tapText, parsePipe(tapText).stages), {
      reactor,
      holder: "pipe two",
      instanceSeed: INSTANCE,
      findStage: (label) =>
        label === "raw"
          ? {
              device: tapped.device,
              claim: (joint, holder) => tapped.tappedBy.set(joint, holder),
              release: (joint) => tapped.tappedBy.delete(joint),
            }
          : undefined,
    });
    const [writer, reader] = [branch, tap].map(({ top }) => new PromiseDevice(top.above));
    const data = new Uint8Array(BLOCK_BYTES).fill(7);
    await writer?.writeAt(8192, data);
    deepStrictEqual(await reader?.readAt(8192, BLOCK_BYTES), data);
    ok(reader !== undefined);
    await rejects(reader.writeAt(8192, data));
    strictEqual(tap.top.device.info.readOnly, true);
    await rejects(removeStage(branch, { stage: "3" }), {
      code: "stage-tapped",
      message: /pipe two/,
    });
    // Readers that never pause do not hold a change up.
    let isOver = false;
    const reading = Array.from({ length: 8 }, async () => {
      while (!isOver) deepStrictEqual(await reader.readAt(8192, BLOCK_BYTES), data);
    });
    for (let round = 0; round < 10; round++) await branch.insert(tapped, PASSING, 1000);
    isOver = true;
    await Promise.all(reading);
    strictEqual(branch.stages.length, 13);
    await tap.close();
    await removeStage(branch, { stage: "3" });
    await branch.close();
  }));
