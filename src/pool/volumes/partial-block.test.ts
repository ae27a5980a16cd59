/** Requests that cover parts of blocks, also when no buffer is left. */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Operation } from "../../block/operation.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { openTestVolume } from "../../testing/pool-rig.ts";
import { TimedRequest } from "../../testing/timed-load.ts";

const MIB = 2 ** 20;

test("parts of blocks are read, written and compared when the reactor has no buffer left", () =>
  withReactor(
    "fake",
    async ({ reactor }) => {
      const volume = await openTestVolume(reactor, { diskBytes: [64 * MIB], sizeBytes: 8 * MIB });
      const held: PoolBuffer[] = [];
      for (let buffer = reactor.buffers.acquire(4096); buffer !== null; ) {
        held.push(buffer);
        buffer = reactor.buffers.acquire(4096);
      }
      const { write, read, compare, compareAndWrite, writeZeroes } = Operation;
      const requests: TimedRequest[] = [];
      for (let index = 0; index < 200; index++) {
        const operation = [write, read, compare, compareAndWrite, writeZeroes][index % 5] ?? write;
        const offset = (index % 37) * 3584 + 512;
        requests.push(new TimedRequest(reactor, { operation, offset, length: 9 * 512 }));
      }
      await Promise.all(requests.map((request) => request.run(volume)));
      deepStrictEqual([...new Set(requests.map(({ status }) => status))], [0]);
      for (const buffer of held) buffer.release();
      strictEqual(volume.inFlight, 0);
      await volume.close();
    },
    { bufferLimitBytes: 2 * MIB },
  ));

test("one request of parts of blocks after the other changes what it names, and no more", () =>
  withReactor("fake", async ({ reactor }) => {
    const volume = await openTestVolume(reactor, { diskBytes: [64 * MIB], sizeBytes: 8 * MIB });
    const model = new Uint8Array(64 * 1024);
    const { slabs } = reactor.io;
    for (let step = 0; step < 150; step++) {
      const offset = ((step * 11) % 100) * 512;
      const length = (1 + ((step * 7) % 25)) * 512;
      const isZeroes = step % 6 === 5;
      const operation = isZeroes ? Operation.discard : Operation.write;
      const request = new TimedRequest(reactor, { operation, offset, length });
      const byte = isZeroes ? 0 : 1 + (step % 250);
      if (!isZeroes) slabs.get(request.segments.slabId(0)).bytes.fill(byte, 0, length);
      await request.run(volume);
      strictEqual(request.status, 0);
      model.fill(byte, offset, offset + length);
      const read = new TimedRequest(reactor, { offset: 0, length: model.length });
      await read.run(volume);
      const { bytes } = slabs.get(read.segments.slabId(0));
      strictEqual(Buffer.compare(bytes.subarray(0, model.length), model), 0, `step ${step}`);
    }
    await volume.close();
  }));
