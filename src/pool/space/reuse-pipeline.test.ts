// Tests of ReusePipeline: durable, then old reads, then the punch, then the space.

import { deepStrictEqual, ok } from "node:assert/strict";
import { test } from "node:test";
import { IoLevel } from "../../reactor/io.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { mallocDisks } from "../../testing/pool-disks-rig.ts";
import { Prng } from "../../util/prng.ts";
import { ReusePipeline } from "./reuse-pipeline.ts";
import type { SpaceMap } from "./space-map.ts";

async function withPipeline(
  body: (reuse: ReusePipeline, back: [number, number][]) => unknown,
): Promise<void> {
  await withReactor(IoLevel.fake, async ({ reactor }) => {
    const { disks } = await mallocDisks(reactor, [4096]);
    const back: [number, number][] = [];
    const space = {
      reuse: null,
      reusable: (address: number, count: number) => back.push([address, count]),
    };
    const reuse = new ReusePipeline({ space: space as unknown as SpaceMap, disks });
    await body(reuse, back);
    await disks.close();
  });
}

test("a run waits for its frame, and runs side by side are one", () =>
  withPipeline((reuse, back) => {
    reuse.add(100, 2, 5, false);
    reuse.add(102, 1, 5, false);
    reuse.add(200, 1, 6, false);
    reuse.durableThrough(4);
    deepStrictEqual(back, []);
    reuse.durableThrough(5);
    deepStrictEqual(back, [[100, 3]]);
    reuse.durableThrough(6);
    deepStrictEqual(back, [
      [100, 3],
      [200, 1],
    ]);
  }));

test("a read that began before keeps blocks, a later one does not", () =>
  withPipeline((reuse, back) => {
    const before = reuse.beginRead();
    reuse.add(100, 1, 1, false);
    reuse.durableThrough(1);
    const after = reuse.beginRead();
    reuse.add(300, 1, 2, false);
    reuse.durableThrough(2);
    deepStrictEqual(back, []);
    reuse.endRead(before);
    deepStrictEqual(back, [[100, 1]], "the later read may have seen the second run");
    reuse.endRead(after);
    deepStrictEqual(back, [
      [100, 1],
      [300, 1],
    ]);
  }));

test("what is to be punched is not used before it has been", () =>
  withPipeline(async (reuse, back) => {
    reuse.add(100, 4, 1, true);
    reuse.durableThrough(1);
    deepStrictEqual(back, []);
    await new Promise<void>((resolve) => reuse.punches.drain(resolve));
    deepStrictEqual(back, [[100, 4]]);
  }));

test("random reads never see a run go that they may hold, and all go in the end", () =>
  withPipeline((reuse, back) => {
    const prng = new Prng("reuse");
    /** Token and the newest run that a read may have seen. */
    const reads: { token: number; runs: number }[] = [];
    let [sequence, runs, durable] = [0, 0, 0];
    for (let step = 0; step < 5000; step++) {
      const choice = prng.below(4);
      if (choice === 0) reuse.add(1000 + 2 * ++runs, 1, ++sequence, false);
      else if (choice === 1) reads.push({ token: reuse.beginRead(), runs });
      else if (choice === 2 && reads.length > 0) {
        const [read] = reads.splice(prng.below(reads.length), 1);
        if (read !== undefined) reuse.endRead(read.token);
      } else {
        durable = Math.min(sequence, durable + prng.below(4));
        reuse.durableThrough(durable);
      }
      ok(back.length <= durable);
      // Run n is freed by record n: a read that began when fewer were freed may hold it.
      for (const read of reads) ok(back.length <= read.runs, "a read keeps what it may see");
    }
    for (const { token } of reads) reuse.endRead(token);
    reuse.durableThrough(sequence);
    deepStrictEqual(
      back,
      Array.from({ length: runs }, (_, index) => [1002 + 2 * index, 1]),
    );
  }));
