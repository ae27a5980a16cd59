// Tests of the live view's rates and lines.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { GetStatsResponseSchema } from "../api/penstock/engine/v1/engine_pb.ts";
import { formatBlock, ratesBetween } from "./live-block.ts";
import { legsOf } from "./start-cluster.ts";

type Stats = MessageInitShape<typeof GetStatsResponseSchema>;

function statsAt(uptimeSeconds: number, count: bigint): Stats {
  const requests = { reads: count, writes: count, readBytes: count * 1000n, errors: 1n };
  const readLatency = { count, sumNs: Number(count) * 2e6 };
  return {
    uptimeSeconds,
    pipes: [{ share: { requests, connections: 2, readLatency } }, { pipe: "not ready" }],
  };
}

const answer = (stats: Stats) => create(GetStatsResponseSchema, stats);

test("ratesBetween divides what has grown by the time between", () => {
  const rates = ratesBetween(answer(statsAt(10, 1000n)), answer(statsAt(12, 3000n)));
  deepStrictEqual(rates, {
    iops: 2000,
    readMbPerSecond: 1,
    writeMbPerSecond: 0,
    latencyMs: 2,
    connections: 2,
    errors: 1,
  });
  const idle = ratesBetween(answer(statsAt(1, 7n)), answer(statsAt(2, 7n)));
  strictEqual(idle?.iops, 0);
  strictEqual(idle.latencyMs, null);
  strictEqual(ratesBetween(null, answer(statsAt(1, 1n))), null);
});

test("formatBlock shows engines that serve and that do not, and why a leg is faulted", () => {
  const rates = ratesBetween(answer(statsAt(0, 0n)), answer(statsAt(1, 1500n)));
  const block = formatBlock(
    [
      { name: "engine-1", processId: 12, state: "serving", rates },
      { name: "engine-2", processId: 3456, state: "ended", rates: null },
    ],
    [
      { engine: "engine-1", state: "in-sync", reason: "" },
      { engine: "engine-2", state: "faulted", reason: "write: path-lost" },
    ],
  );
  const lines = block.split("\n");
  match(lines[1] ?? "", /^engine-1 +12 +serving +3,000 +1\.5 +0\.0 +2\.000 ms +2 +1$/);
  match(lines[2] ?? "", /^engine-2 +3456 +ended +- +-/);
  strictEqual(lines[3], "mirror: engine-1 in-sync, engine-2 faulted");
  strictEqual(lines[4], "  engine-2: write: path-lost");
});

test("legsOf takes the worst that any mirror says of a leg", () => {
  const mirrorOf = (...states: string[]): Stats["pipes"] => [
    { stages: [{ kind: "mirror", children: states.map((state) => ({ state })) }] },
  ];
  const pipes = [
    ...(mirrorOf("in-sync", "faulted") ?? []),
    ...(mirrorOf("in-sync", "in-sync") ?? []),
  ];
  const states = legsOf(answer({ pipes })).map(({ engine, state }) => [engine, state]);
  deepStrictEqual(states, [
    ["engine-1", "in-sync"],
    ["engine-2", "faulted"],
  ]);
  deepStrictEqual(legsOf(null), []);
});
