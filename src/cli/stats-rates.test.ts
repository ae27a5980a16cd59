// Tests of what lies between two answers of GetStats, and of the tables that show it.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type GetStatsResponse,
  GetStatsResponseSchema,
  type LatencySchema,
  PipeState,
} from "../api/penstock/engine/v1/engine_pb.ts";
import { statsBetween } from "./stats-rates.ts";
import { pipesTable, pipeTable, reactorsTable, summaryText } from "./stats-table.ts";

const MIB = 2n ** 20n;

interface Sample {
  readonly uptimeSeconds: number;
  readonly reads: bigint;
  readonly errors?: bigint;
  /** How many reads took 1 ms, and how many 8 ms. */
  readonly fast: number;
  readonly slow: number;
  readonly kind?: string;
}

function latency(fast: number, slow: number): MessageInitShape<typeof LatencySchema> {
  return {
    count: BigInt(fast + slow),
    sumNs: fast * 1e6 + slow * 8e6,
    lowestNs: [983_040, 7_864_320],
    endsNs: [1_000_001, 8_000_001],
    counts: [BigInt(fast), BigInt(slow)],
  };
}

function statsOf(sample: Sample): GetStatsResponse {
  const { uptimeSeconds, reads, fast, slow, errors = 0n, kind = "limit" } = sample;
  const requests = { reads, readBytes: reads * 4096n, errors };
  return create(GetStatsResponseSchema, {
    uptimeSeconds,
    cpuSeconds: uptimeSeconds / 2,
    residentBytes: 100n * MIB,
    reactors: [
      {
        reactor: 0,
        cpuSeconds: uptimeSeconds / 2,
        spinSeconds: uptimeSeconds / 10,
        queue: 3,
        turns: reads,
        bufferLimitBytes: 64n * MIB,
        bufferHeldBytes: MIB,
      },
    ],
    pipes: [
      {
        pipe: "vol1",
        state: PipeState.READY,
        share: { requests, connections: 2, readLatency: latency(fast, slow) },
        stages: [
          {
            stage: "1",
            kind: "mirror",
            requests,
            children: [{ child: 1, name: "a", state: "faulted", requests, orphans: 1 }],
          },
          { stage: "2", kind, inFlight: 3, requests, latency: latency(fast, slow) },
        ],
      },
      { pipe: "vol2", state: PipeState.FAILED },
    ],
  });
}

const BEFORE = statsOf({ uptimeSeconds: 10, reads: 1000n, fast: 50, slow: 50 });
const AFTER = statsOf({ uptimeSeconds: 12, reads: 5000n, errors: 2n, fast: 149, slow: 51 });

test("rates, loads and latencies are of the interval alone", () => {
  const { seconds, engine, reactors, pipes } = statsBetween(BEFORE, AFTER);
  strictEqual(seconds, 2);
  strictEqual(engine.cpuShare, 0.5);
  const [reactor] = reactors;
  ok(reactor !== undefined && Math.abs(reactor.load - 0.4) < 1e-9);
  ok(Math.abs(reactor.spin - 0.1) < 1e-9);
  strictEqual(reactor.turnsPerSecond, 2000);
  const [pipe] = pipes;
  ok(pipe !== undefined);
  strictEqual(pipe.readsPerSecond, 2000);
  strictEqual(pipe.readBytesPerSecond, 2000 * 4096);
  strictEqual(pipe.errorsPerSecond, 1);
  strictEqual(pipe.errors, 2);
  // 99 of 1 ms and one of 8 ms came in between.
  deepStrictEqual(pipe.latencyMs, { mean: 1.07, p50: 1, p99: 1 });
  strictEqual(pipe.stages[0]?.children[0]?.orphans, 1);
});

test("what began anew counts from 0: a pipe, the engine, a stage of another kind", () => {
  const [reopened] = statsBetween(
    BEFORE,
    statsOf({ uptimeSeconds: 11, reads: 7n, fast: 7, slow: 0 }),
  ).pipes;
  strictEqual(reopened?.readsPerSecond, 7);
  strictEqual(reopened.latencyMs?.p99, 1);

  const restarted = statsBetween(
    BEFORE,
    statsOf({ uptimeSeconds: 4, reads: 4000n, fast: 100, slow: 100 }),
  );
  strictEqual(restarted.seconds, 4);
  strictEqual(restarted.pipes[0]?.readsPerSecond, 1000);
  strictEqual(restarted.engine.cpuShare, 0.5);

  const other = { uptimeSeconds: 12, reads: 5000n, fast: 149, slow: 51, kind: "log" };
  const [, stage] = statsBetween(BEFORE, statsOf(other)).pipes[0]?.stages ?? [];
  strictEqual(stage?.readsPerSecond, 2500);
});

test("a pipe that is not ready, or was quiet, has no latency and no rates", () => {
  const view = statsBetween(AFTER, AFTER);
  strictEqual(view.pipes[0]?.latencyMs, null);
  strictEqual(view.pipes[0]?.readsPerSecond, 0);
  strictEqual(view.pipes[1]?.state, "failed");
  ok(Number.isFinite(view.seconds) && view.seconds > 0);
});

test("tables show pipes, the stages of one top down, reactors, and a summary", () => {
  const view = statsBetween(BEFORE, AFTER);
  const [pipe] = view.pipes;
  ok(pipe !== undefined);
  const rates = "2,000 +0 +0 +8.2 +0.0";
  match(
    pipesTable(view.pipes),
    new RegExp(`^PIPE .*\nvol1 +ready +${rates} +1.000 +1.000 +2 +2\nvol2 +failed +0 .*\n$`),
  );
  match(
    pipeTable(pipe),
    new RegExp(
      `^STAGE .*\nshare +ready +${rates} .*\n2 +limit +${rates} +1.000 +1.000 +2 +3\n` +
        `1 +mirror +${rates} +- +- +2 +0\n1 child 1 +faulted +${rates} .*\n$`,
    ),
  );
  match(reactorsTable(view.reactors), /\n0 +40\.0% +10\.0% +3 +2,000 +0 +0 +1MiB +64MiB\n$/);
  const summary = summaryText(view);
  match(summary, /^up 12s {2}1 of 2 pipes ready {2}2,000 IOPS {2}read 8\.2 MB\/s/);
  match(summary, /\nreactor 0 {2}load 40\.0% {2}spin 10\.0% {2}queue 3 {2}buffers 1MiB of 64MiB/);
});
