// Tests of the channel: wrap-around, full, lengths, a random model, and two threads at once.

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import type { ChannelPeerReport, ChannelPeerTask } from "../testing/channel-peer-worker.ts";
import { forLongRun } from "../testing/long-run.ts";
import { testSeed } from "../testing/test-seed.ts";
import { Prng } from "../util/prng.ts";
import {
  ChannelReader,
  ChannelWriter,
  createChannel,
  type RecordSink,
  recordWordsMax,
} from "./channel.ts";

class Collector implements RecordSink {
  readonly records: number[][] = [];

  record(words: Int32Array, at: number, length: number): void {
    this.records.push([...words.subarray(at, at + length)]);
  }
}

function makeChannel(capacityWords: number) {
  const memory = createChannel(capacityWords);
  const collector = new Collector();
  const reader = new ChannelReader(memory);
  const writer = new ChannelWriter(memory);
  const push = (...values: number[]) => writer.push(Int32Array.from(values), 0, values.length);
  const read = () => {
    reader.read(collector);
    return collector.records.splice(0);
  };
  return { writer, reader, push, read };
}

test("read gives nothing before publish and everything in order after it", () => {
  const { writer, push, read } = makeChannel(64);
  ok(push(1, -2, 3));
  ok(push(4));
  deepStrictEqual(read(), []);
  ok(writer.publish());
  deepStrictEqual(read(), [[1, -2, 3], [4]]);
  strictEqual(writer.publish(), false);
  deepStrictEqual(read(), []);
});

test("records stay whole when they pass the end of the ring, at every place and length", () => {
  const capacity = 32;
  for (let shift = 0; shift < capacity; shift++) {
    for (let length = 1; length <= recordWordsMax(capacity); length++) {
      const { writer, push, read } = makeChannel(capacity);
      // Records of one word move the place by two: an odd shift needs one of two words.
      for (let moved = 0; moved < shift; moved += moved === 0 && shift % 2 === 1 ? 3 : 2) {
        ok(moved === 0 && shift % 2 === 1 ? push(7, 7) : push(7));
        writer.publish();
        strictEqual(read().length, 1);
      }
      const record = Array.from({ length }, (_, index) => index * 3 - shift);
      ok(push(...record), `length ${length} after ${shift}`);
      writer.publish();
      deepStrictEqual(read(), [record]);
    }
  }
});

test("reserve says -1 when full, and writerWaits tells the reader once of it", () => {
  const { writer, reader, push, read } = makeChannel(16);
  let pushed = 0;
  while (push(pushed)) pushed++;
  strictEqual(pushed, 8);
  strictEqual(writer.reserve(1), -1);
  writer.publish();
  strictEqual(reader.writerWaits(), true);
  strictEqual(reader.writerWaits(), false);
  deepStrictEqual(read(), [[0], [1], [2], [3], [4], [5], [6], [7]]);
  ok(push(8));
  strictEqual(reader.writerWaits(), false);
});

test("a record longer than half the ring is a bug of the writer", () => {
  const { writer } = makeChannel(16);
  throws(() => writer.reserve(recordWordsMax(16) + 1), { code: "assertion-failed" });
  throws(() => writer.reserve(0), { code: "assertion-failed" });
  throws(() => createChannel(24), { code: "assertion-failed" });
});

test("a channel is a bounded queue when writes, publishes and reads come in any order", (t) => {
  const seed = testSeed(t);
  const prng = new Prng(`channel ${seed}`);
  const { writer, reader, push, read } = makeChannel(64);
  const model: number[][] = [];
  let unpublished = 0;
  let refused = 0;
  for (let step = 0; step < 200_000; step++) {
    const choice = prng.below(8);
    if (choice < 5) {
      const length = 1 + prng.below(recordWordsMax(64));
      const record = Array.from({ length }, () => prng.nextUint32() | 0);
      if (push(...record)) {
        model.push(record);
        unpublished++;
      } else {
        refused++;
        // An empty ring refuses nothing.
        ok(model.length > 0, `seed ${seed}, step ${step}`);
      }
    } else if (choice < 7) {
      strictEqual(writer.publish(), unpublished > 0);
      unpublished = 0;
    } else {
      const expected = model.splice(0, model.length - unpublished);
      deepStrictEqual(read(), expected, `seed ${seed}, step ${step}`);
      reader.writerWaits();
    }
  }
  ok(refused > 1000);
});

test("two threads that send to each other at once see whole records in order", async (t) => {
  const seed = testSeed(t);
  const there = createChannel(1024);
  const back = createChannel(512);
  const records = forLongRun(60_000, 1_000_000);
  const reports = await Promise.all([
    runPeer(t, { name: "a", seed, records, writes: there, reads: back }),
    runPeer(t, { name: "b", seed, records, writes: back, reads: there }),
  ]);
  for (const report of reports) {
    strictEqual(report.received, records);
    ok(report.fullCount > 0, "the ring was full at times");
  }
});

function runPeer(t: TestContext, task: ChannelPeerTask): Promise<ChannelPeerReport> {
  const url = new URL("../testing/channel-peer-worker.ts", import.meta.url);
  const worker = new Worker(url, { workerData: task });
  // It uses no FFI, so it may be ended at any time; the other one spins when this one fails.
  t.after(() => worker.terminate());
  return new Promise((resolve, reject) => {
    worker.once("error", reject);
    worker.once("message", (report: ChannelPeerReport) => {
      if (report.problem === null) resolve(report);
      else reject(new Error(report.problem));
    });
  });
}
