// Tests of TokenBucket against a model that looks at the clock each time: it never gives more than
// the model in any stretch of time, and gives what the model gives when it is asked for the rest.

import { ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { testSeed } from "../testing/test-seed.ts";
import { Prng } from "../util/prng.ts";
import { TokenBucket } from "./token-bucket.ts";

test("TokenBucket starts full, refills at its rate, and no further than its capacity", () => {
  const bucket = new TokenBucket({ perSecond: 1000, capacity: 10 }, 0);
  ok(bucket.has(10));
  bucket.take(10);
  ok(!bucket.has(1));
  strictEqual(bucket.msUntil(4), 4);
  bucket.refill(4);
  ok(bucket.has(4) && !bucket.has(5));
  bucket.refill(1000);
  strictEqual(bucket.level, 10);
});

test("TokenBucket gives more than its capacity when it is full, and is in debt then", () => {
  const bucket = new TokenBucket({ perSecond: 1000, capacity: 10 }, 0);
  ok(bucket.has(500));
  bucket.take(500);
  strictEqual(bucket.level, -490);
  strictEqual(bucket.msUntil(500), 500);
  bucket.refill(499);
  ok(!bucket.has(500) && bucket.has(9));
  bucket.refill(500);
  ok(bucket.has(500));
});

test("TokenBucket counts what is taken unseen as taken when it is looked at", () => {
  const bucket = new TokenBucket({ perSecond: 1000, capacity: 10 }, 0);
  ok(bucket.hasPlenty(5) && !bucket.hasPlenty(6));
  bucket.takeUnseen(5);
  ok(!bucket.hasPlenty(1));
  bucket.refill(100);
  strictEqual(bucket.level, 5, "it may have been taken just now");
  bucket.refill(105);
  strictEqual(bucket.level, 10, "and after that it fills up");
  bucket.take(4);
  bucket.refill(106);
  bucket.takeUnseen(1);
  bucket.refill(107);
  strictEqual(bucket.level, 7, "what was not full has lost nothing");
});

test("TokenBucket exceeds rate and burst in no stretch of time, looked at or not", (t) => {
  const prng = new Prng(testSeed(t));
  for (let round = 0; round < 200; round++) {
    const perSecond = 1 + prng.below(5000);
    const capacity = 1 + prng.below(100);
    const bucket = new TokenBucket({ perSecond, capacity }, 0);
    const taken: { readonly atMs: number; readonly cost: number }[] = [];
    let nowMs = 0;
    for (let step = 0; step < 150; step++) {
      if (prng.chance(0.5)) nowMs += prng.float() * (prng.chance(0.1) ? 200 : 5);
      const cost = 1 + prng.below(8);
      if (bucket.hasPlenty(cost) && prng.chance(0.8)) bucket.takeUnseen(cost);
      else {
        bucket.refill(nowMs);
        if (!bucket.has(cost)) continue;
        bucket.take(cost);
      }
      taken.push({ atMs: nowMs, cost });
    }
    const burst = Math.max(capacity, ...taken.map(({ cost }) => cost));
    for (const [from, { atMs: startMs }] of taken.entries()) {
      let sum = 0;
      for (const { atMs, cost } of taken.slice(from)) {
        sum += cost;
        const most = burst + (perSecond * (atMs - startMs + 0.001)) / 1000;
        ok(sum <= most, `${sum} in ${atMs - startMs} ms, at most ${most}`);
      }
    }
  }
});
