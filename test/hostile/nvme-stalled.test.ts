/**
 * NVMe/TCP hosts that ask for R2Ts and send nothing, or read and do not listen: they hold no more
 * memory than their share, and other hosts write and read as before.
 */

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { forEachLevel } from "../../src/testing/levels.ts";
import { capsule, h2cData } from "../../src/testing/nvme-bytes.ts";
import { checkNvmeHealth, NvmeProbe, subsystemOf } from "../../src/testing/nvme-health.ts";
import { NvmeRawClient, transfer } from "../../src/testing/nvme-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { residentBytes } from "../../src/testing/process-usage.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const MIB = 2 ** 20;
const HOST_COUNT = 60;
const COMMANDS_PER_HOST = 31;
const TRANSFER_BYTES = 128 * 1024;
const WATCH_MS = 2500;
/** The buffers of two reactors, and room for the heap to breathe. */
const GROWTH_BYTES_MAX = 200 * MIB;

/** What each of the bad hosts does with its queue. */
const HABITS: Readonly<Record<string, (client: NvmeRawClient) => Promise<void>>> = {
  "writes that never come": async (client) => {
    await client.raw.write(Buffer.concat(commands(1)));
  },
  "writes that come in crumbs": async (client) => {
    await client.raw.write(Buffer.concat(commands(1)));
    const { type, bytes } = await client.pdu();
    assert.equal(type, 9, "R2T");
    const [cid, ttag] = [bytes.readUInt16LE(8), bytes.readUInt16LE(10)];
    const data = h2cData({ cid, ttag, offset: 0, data: Buffer.alloc(bytes.readUInt32LE(16)) });
    await client.raw.write(data.subarray(0, 3000));
  },
  "reads that nobody listens to": async (client) => {
    client.raw.stopReading();
    await client.raw.write(Buffer.concat(commands(2)));
  },
};

for (const [habit, misbehave] of Object.entries(HABITS)) {
  forEachLevel(`NVMe/TCP hosts with ${habit}`, {}, async (t, level) => {
    const pipes = [
      "malloc:///victim?size=64MiB | nvmf://127.0.0.1:0/nqn.2026-11.io.penstock:test",
      "malloc:///other?size=16MiB | nvmf://127.0.0.1:0/nqn.2026-11.io.penstock:other",
    ];
    const server = await startPenstock(t, pipes, { level });
    const prng = new Prng(testSeed(t));
    const options = { subsystem: subsystemOf(server.uri) };
    await checkNvmeHealth(server.uri, prng);
    const before = residentBytes(server.pid);
    const bad: NvmeRawClient[] = [];
    for (let count = 0; count < HOST_COUNT; count += 1) {
      const admin = await NvmeRawClient.openAdmin(server.uri, options);
      const io = await NvmeRawClient.openIo(server.uri, admin, options);
      bad.push(admin, io);
      // Memory may be short before the last R2T: waiting for it is what bad hosts would not do.
      void misbehave(io).catch(() => undefined);
    }
    // They come after the memory is taken, which is the hard case.
    const probes = await Promise.all(server.uris.map((uri) => NvmeProbe.open(uri, prng.fork(uri))));
    const probing = Promise.all(probes.map((probe) => probe.run()));
    await sleep(WATCH_MS);
    for (const probe of probes) {
      probe.stop();
    }
    await probing;
    const growth = residentBytes(server.pid) - before;
    const slowest = Math.max(...probes.map(({ slowestMs }) => slowestMs));
    t.diagnostic(`${growth} bytes more; slowest command ${slowest} ms`);
    assert.ok(growth < GROWTH_BYTES_MAX, `${growth} bytes more`);
    for (const { raw } of bad) {
      raw.destroy();
    }
    for (const uri of server.uris) {
      await checkNvmeHealth(uri, prng);
    }
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });
}

/** A queue's worth of long reads (2) or writes (1). */
function commands(opcode: number): Buffer[] {
  return Array.from({ length: COMMANDS_PER_HOST }, (_, index) =>
    capsule({
      ...transfer(opcode, index * (TRANSFER_BYTES / 512), TRANSFER_BYTES / 512),
      cid: index,
      lengthBytes: TRANSFER_BYTES,
    }),
  );
}
