// Tests of Load: every operation is done once, latencies are true, no two requests share a block
// that is verified, and what a device loses, keeps or breaks is found.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { Device } from "../block/device.ts";
import { Filter, filterInfo, passAll } from "../block/filter.ts";
import { Joint } from "../block/joint.ts";
import { Operation } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { Status } from "../block/status.ts";
import { DelayFilter } from "../devices/delay.ts";
import { MallocDevice } from "../devices/malloc.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { TEST_LEVELS, withReactor } from "../reactor/test-reactor.ts";
import { Prng } from "../util/prng.ts";
import { BlockMap } from "./block-map.ts";
import { Findings } from "./findings.ts";
import type { Job } from "./job.ts";
import { Load, LoadMemory, type LoadSequences, type Verification } from "./load.ts";
import { ANY_GENERATION, SectorStamp } from "./sector-stamp.ts";
import { AtRandom, InOrder, KnownOnes, type Sequence } from "./sequence.ts";

const BLOCK = 4096;
const BLOCKS = 64;
const DEPTH = 16;
const SEED = 42;

const JOB: Job = {
  rw: "randrw",
  blockBytes: BLOCK,
  depth: DEPTH,
  seed: SEED,
  verify: true,
  readPercent: 50,
  durationMs: 1000,
  warmUpMs: 0,
  offset: 8192,
  blockCount: BLOCKS,
};

/** The first so many of another's, both kinds of operations together. */
class Budget {
  left: number;

  constructor(left: number) {
    this.left = left;
  }

  of(sequence: Sequence): Sequence {
    return { next: () => (this.left-- > 0 ? sequence.next() : -1) };
  }
}

function limited(count: number, reads: Sequence, writes: Sequence = reads): LoadSequences {
  const budget = new Budget(count);
  return { reads: budget.of(reads), writes: budget.of(writes) };
}

function random(count: number): LoadSequences {
  return limited(count, new AtRandom(BLOCKS, new Prng(1)), new AtRandom(BLOCKS, new Prng(2)));
}

/** Sees every request, and does with it what a test says. */
class Watch extends Filter {
  readonly started = { reads: 0, writes: 0 };
  readonly busy = new Set<number>();
  overlaps = 0;
  most = 0;
  /** True: answered, and not done. */
  drops: (request: Request) => boolean = () => false;
  fails: (request: Request) => boolean = () => false;

  constructor(below: Device) {
    const joint = new Joint(below);
    super(joint, filterInfo(joint, "watch", "watch"), passAll(joint));
  }

  override passed(request: Request, status: Status): void {
    this.busy.delete(request.offset);
    request.finish(status);
  }

  protected override start(request: Request): void {
    if (request.operation === Operation.read) this.started.reads++;
    else this.started.writes++;
    if (this.drops(request)) this.reactor.completions.push(request, Status.ok);
    else if (this.fails(request)) this.reactor.completions.push(request, Status.mediaError);
    else {
      if (this.busy.has(request.offset)) this.overlaps++;
      this.busy.add(request.offset);
      this.most = Math.max(this.most, this.busy.size);
      this.pass(request);
    }
  }
}

interface Rig {
  readonly watch: Watch;
  readonly map: BlockMap;
  readonly findings: Findings;
  /** A load of `job` until its sequences end. */
  load(sequences: LoadSequences, job?: Partial<Job>): Promise<Load>;
  /** Reads all that is known, once. */
  readBack(): Promise<Load>;
}

async function withRig(
  reactor: Reactor,
  body: (rig: Rig) => Promise<void>,
  options: { readonly verify?: boolean } = {},
): Promise<void> {
  const malloc = await MallocDevice.open(reactor, {
    name: "malloc",
    sizeBytes: JOB.offset + BLOCKS * BLOCK,
    readOnly: false,
    blockSizeBytes: 512,
    instanceId: "x",
  });
  const watch = new Watch(malloc);
  const findings = new Findings();
  const map = new BlockMap(BLOCKS);
  const memory = new LoadMemory(reactor, JOB, new Prng(3));
  const load = async (sequences: LoadSequences, part: Partial<Job> = {}): Promise<Load> => {
    const job = { ...JOB, ...part };
    const skipsUnknown = job.rw !== "read" && job.rw !== "randread";
    const verification: Verification = {
      stamp: new SectorStamp(SEED),
      map,
      findings,
      skipsUnknown,
    };
    const running = new Load(
      {
        reactor,
        device: watch,
        job,
        prng: new Prng(4),
        findings,
        verification: options.verify === false ? null : verification,
        memory,
      },
      sequences,
    );
    running.measure();
    await running.run();
    return running;
  };
  const readBack = (): Promise<Load> => {
    const reads = new KnownOnes(BLOCKS, map);
    return load({ reads, writes: reads }, { rw: "read" });
  };
  await body({ watch, map, findings, load, readBack });
  memory.release();
  await watch.close();
  await malloc.close();
}

for (const level of TEST_LEVELS) {
  test(`a load does each operation once and finds all as it was written, at ${level}`, () =>
    withReactor(level, ({ reactor }) =>
      withRig(reactor, async ({ watch, map, findings, load, readBack }) => {
        const done = await load(random(3000));
        strictEqual(done.done, 3000);
        strictEqual(done.read.count + done.write.count, 3000);
        deepStrictEqual([done.read.count, done.write.count], Object.values(watch.started));
        ok(done.read.count > 1000 && done.write.count > 1000);
        ok(findings.isGood && findings.sectors > 5000, `${findings.sectors} sectors`);
        // Each write has made one generation more.
        let writes = 0;
        for (let block = 0; block < BLOCKS; block++) writes += map.generationOf(block) + 1;
        strictEqual(writes, done.write.count);
        const before = findings.sectors;
        strictEqual((await readBack()).done, BLOCKS);
        strictEqual(findings.sectors - before, (BLOCKS * BLOCK) / 512);
        ok(findings.isGood);
      }),
    ));

  test(`requests that are verified never share a block, at ${level}`, () =>
    withReactor(level, ({ reactor }) =>
      withRig(reactor, async ({ watch, load }) => {
        const few = (): Sequence => new AtRandom(3, new Prng(9));
        await load(limited(2000, few(), few()));
        deepStrictEqual([watch.overlaps, watch.most], [0, DEPTH]);
      }),
    ));

  test(`a write that a device forgets is found as stale, at its offset, at ${level}`, () =>
    withReactor(level, ({ reactor }) =>
      withRig(reactor, async ({ watch, findings, load, readBack }) => {
        const offset = JOB.offset + 7 * BLOCK;
        await load(limited(BLOCKS, new InOrder(BLOCKS, false)), { rw: "write" });
        watch.drops = (request) =>
          request.operation === Operation.write && request.offset === offset;
        await load(limited(BLOCKS, new InOrder(BLOCKS, false)), { rw: "write" });
        ok(findings.isGood);
        await readBack();
        strictEqual(findings.badSectors, BLOCK / 512);
        deepStrictEqual(findings.firstBad[0], {
          offset,
          expected: { seed: SEED, offset, generation: 1 },
          finding: { kind: "stale", found: { seed: SEED, offset, generation: 0 } },
        });
      }),
    ));
}

test("a later run that only reads knows what an earlier one wrote, by the seed alone", () =>
  withReactor("fake", ({ reactor }) =>
    withRig(reactor, async ({ map, findings, load, watch }) => {
      await load(random(500), { rw: "randwrite" });
      await load(limited(BLOCKS, new InOrder(BLOCKS, false)), { rw: "write" });
      for (let block = 0; block < BLOCKS; block++) map.set(block, ANY_GENERATION);
      const reads = new InOrder(BLOCKS, false);
      await load({ reads, writes: reads }, { rw: "read" });
      ok(findings.isGood && findings.sectors === (BLOCKS * BLOCK) / 512);
      ok(map.generationOf(0) >= 0, "it has learnt what is there");
      // From now on an older or newer one is wrong, too.
      map.set(5, map.generationOf(5) + 1);
      await load(limited(BLOCKS, new InOrder(BLOCKS, false)), { rw: "read" });
      strictEqual(findings.badSectors, BLOCK / 512);
      strictEqual(findings.firstBad[0]?.finding.kind, "stale");
      strictEqual(watch.started.writes, 500 + BLOCKS);
    }),
  ));

test("what was never written is wrong to who only reads, and nobody's business to who writes", () =>
  withReactor("fake", ({ reactor }) =>
    withRig(reactor, async ({ findings, load }) => {
      const mixed = await load(limited(100, new InOrder(BLOCKS, true)), { readPercent: 100 });
      deepStrictEqual([mixed.done, findings.sectors, findings.badSectors], [100, 0, 0]);
      await load(limited(100, new InOrder(BLOCKS, true)), { rw: "read" });
      strictEqual(findings.sectors, (100 * BLOCK) / 512);
      strictEqual(findings.badSectors, findings.sectors);
      deepStrictEqual(findings.firstBad[0], {
        offset: JOB.offset,
        expected: { seed: SEED, offset: JOB.offset, generation: null },
        finding: { kind: "zeroes" },
      });
      strictEqual(findings.firstBad.length, 10);
    }),
  ));

test("a write that fails leaves its block unknown: it may be old or new", () =>
  withReactor("fake", ({ reactor }) =>
    withRig(reactor, async ({ watch, map, findings, load, readBack }) => {
      watch.fails = (request) => request.offset === JOB.offset + BLOCK;
      await load(limited(BLOCKS, new InOrder(BLOCKS, false)), { rw: "write" });
      strictEqual(map.generationOf(1), ANY_GENERATION);
      deepStrictEqual(
        [findings.failures, findings.firstFailures],
        [
          1,
          [
            {
              operation: "write",
              offset: JOB.offset + BLOCK,
              lengthBytes: BLOCK,
              status: "media-error",
            },
          ],
        ],
      );
      strictEqual((await readBack()).done, BLOCKS - 1);
      strictEqual(findings.badSectors, 0);
    }),
  ));

test("a load gives up on a device that fails again and again", () =>
  withReactor("fake", ({ reactor }) =>
    withRig(reactor, async ({ watch, findings, load }) => {
      watch.fails = () => true;
      const endless = new InOrder(BLOCKS, true);
      const ended = await load({ reads: endless, writes: endless });
      ok(ended.gaveUp);
      deepStrictEqual([ended.done, ended.read.count, ended.write.count], [0, 0, 0]);
      ok(findings.failures >= 100 && findings.failures < 100 + DEPTH);
    }),
  ));

test("without verification nothing is looked at, and requests may share blocks", () =>
  withReactor("fake", ({ reactor }) =>
    withRig(
      reactor,
      async ({ findings, load, watch }) => {
        await load(limited(200, new AtRandom(1, new Prng(1))), { verify: false, rw: "randread" });
        deepStrictEqual([findings.sectors, watch.started.reads], [0, 200]);
      },
      { verify: false },
    ),
  ));

test("latencies are those of the device, and only what is measured counts", () =>
  withReactor("fake", async ({ reactor }) => {
    const malloc = await MallocDevice.open(reactor, {
      name: "malloc",
      sizeBytes: BLOCKS * BLOCK,
      readOnly: false,
      blockSizeBytes: 512,
      instanceId: "x",
    });
    const times = { readMs: 5, writeMs: 20, flushMs: 0, statusMs: 0, jitterMs: 0 };
    const device = new DelayFilter(new Joint(malloc), "delay", times, new Prng(5));
    const job = { ...JOB, offset: 0, depth: 4 };
    const memory = new LoadMemory(reactor, job, new Prng(3));
    const findings = new Findings();
    const endless = new InOrder(BLOCKS, true);
    const load = new Load(
      { reactor, device, job, prng: new Prng(4), findings, verification: null, memory },
      { reads: endless, writes: endless },
    );
    const idle = load.run();
    const sleep = (delayMs: number): Promise<void> =>
      new Promise((resolve) => {
        reactor.clock.startTimer(delayMs, resolve);
      });
    await sleep(100);
    deepStrictEqual([load.read.count, load.write.count], [0, 0]);
    const before = load.done;
    ok(before > 0);
    load.measure();
    await sleep(1000);
    load.endMeasuring();
    const measured = load.read.count + load.write.count;
    strictEqual(load.done - before, measured);
    load.stop();
    await idle;
    strictEqual(load.read.count + load.write.count, measured, "what ends later does not count");
    for (const [latency, delayMs] of [
      [load.read, 5],
      [load.write, 20],
    ] as const) {
      ok(latency.count > 10);
      const { min, max } = latency;
      ok(min > (delayMs - 0.01) * 1e6 && max < (delayMs + 2) * 1e6, `${min} to ${max} ns`);
    }
    memory.release();
    await device.close();
    await malloc.close();
  }));
