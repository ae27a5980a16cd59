// Tests of the NVMe/TCP service in this process, through real sockets: random programs against a
// dumb model with all digests, hand-over between reactors, discovery, limits and draining.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Device } from "../block/device.ts";
import { FileDevice } from "../devices/file.ts";
import { MallocDevice } from "../devices/malloc.ts";
import { decodeDiscoveryHeader } from "../proto/nvme/log-discovery.ts";
import { DISCOVERY_NQN } from "../proto/nvme/nqn.ts";
import { codeOf, NvmeStatus } from "../proto/nvme/status.ts";
import type { SocketAddress } from "../reactor/io.ts";
import { TEST_LEVELS, type TestReactor, withReactor } from "../reactor/test-reactor.ts";
import { NvmeRawClient } from "../testing/nvme-raw-client.ts";
import { openSecondReactor } from "../testing/second-reactor.ts";
import { settles } from "../testing/settles.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { Prng } from "../util/prng.ts";
import { NvmfService } from "./nvmf-service.ts";

const SIZE_BYTES = 8 * 1024 * 1024;
const BLOCK_BYTES = 512;
const ANY_PORT: SocketAddress = { kind: "tcp", host: "127.0.0.1", port: 0 };
const LEVELS = TEST_LEVELS.filter((level) => level !== "fake");
const NQN = "nqn.2026-11.io.penstock:service";
const UUID = "01234567-89ab-4def-8123-456789abcdef";
const NO_HAND_OFF = { handOff: () => assert.fail("nothing is handed off") };
const STEPS = process.env.PENSTOCK_LONG === "1" ? 3000 : 150;

function uriOf(address: SocketAddress): string {
  assert.ok(address.kind === "tcp");
  return `nvmf://127.0.0.1:${address.port}/x`;
}

function malloc(reactor: TestReactor["reactor"]): Promise<MallocDevice> {
  const instanceId = "00000000-0000-4000-8000-000000000001";
  return MallocDevice.open(reactor, { name: "vol", sizeBytes: SIZE_BYTES, instanceId });
}

const DEFAULTS = { nsid: 1, uuid: UUID, subsystem: { nqn: NQN } } as const;

/** Reads, writes, and compares all in the end. */
async function runProgram(io: NvmeRawClient, random: Prng): Promise<void> {
  const model = Buffer.alloc(SIZE_BYTES);
  const blocks = SIZE_BYTES / BLOCK_BYTES;
  for (let step = 0; step < STEPS; step++) {
    const most = random.chance(0.2) ? 2048 : random.chance(0.5) ? 8 : 64;
    const count = 1 + random.below(most);
    const block = random.below(blocks - count);
    const [from, to] = [block * BLOCK_BYTES, (block + count) * BLOCK_BYTES];
    if (random.chance(0.5)) {
      const data = Buffer.alloc(count * BLOCK_BYTES, `${step}-`);
      data.copy(model, from);
      await io.write(block, data, BLOCK_BYTES);
    } else {
      const found = await io.read(block, count, BLOCK_BYTES);
      assert.equal(found.compare(model, from, to), 0, `step ${step}`);
    }
  }
  for (let block = 0; block < blocks; block += 2048) {
    const found = await io.read(block, 2048, BLOCK_BYTES);
    assert.equal(found.compare(model, block * BLOCK_BYTES, (block + 2048) * BLOCK_BYTES), 0);
  }
}

for (const level of LEVELS) {
  for (const kind of ["malloc", "file"] as const) {
    test(`NvmfService answers a random program with ${kind} at ${level}`, (t) =>
      withReactor(level, async ({ reactor, seed }) => {
        const path = `${makeTempDir(t)}/disk.img`;
        const device: Device =
          kind === "malloc"
            ? await malloc(reactor)
            : await FileDevice.open(reactor, { path, sizeBytes: SIZE_BYTES });
        const service = new NvmfService(reactor, NO_HAND_OFF);
        const address = await service.listen(ANY_PORT);
        const share = service.addNamespace(address, device, DEFAULTS);
        const random = new Prng(seed);
        const digests = { header: random.chance(0.5), data: random.chance(0.5) };
        const options = { subsystem: NQN, digests };
        const admin = await NvmeRawClient.openAdmin(uriOf(address), options);
        const io = await NvmeRawClient.openIo(uriOf(address), admin, options);
        await runProgram(io, random);
        assert.equal(share.subsystem.connections, 2);
        assert.equal(service.openConnections, 2);
        await service.removeNamespace(share);
        await Promise.all([io.raw.closed, admin.raw.closed]);
        await service.close();
        await device.close();
      }));
  }
}

for (const level of LEVELS.filter((each) => each !== "portable")) {
  test(`NvmfService hands connections over, admin and I/O, at ${level}`, () =>
    withReactor(level, async ({ reactor, ...place }) => {
      const other = openSecondReactor({ reactor, ...place });
      const owner = new NvmfService(other, NO_HAND_OFF);
      const listener = new NvmfService(reactor, {
        handOff: (toReactor, message) => {
          assert.equal(toReactor, 1);
          // As between workers: plain values only.
          owner.adopt(structuredClone(message));
        },
      });
      const address = await listener.listen(ANY_PORT);
      const device = await malloc(other);
      const share = owner.addNamespace(address, device, DEFAULTS);
      listener.addRemoteSubsystem(address, structuredClone(share.notice), 1);
      const options = { subsystem: NQN, digests: { header: true, data: true } };
      const admin = await NvmeRawClient.openAdmin(uriOf(address), options);
      const io = await NvmeRawClient.openIo(uriOf(address), admin, options);
      const data = Buffer.alloc(64 * 1024, "handed over");
      await io.write(16, data, BLOCK_BYTES);
      assert.deepEqual(await io.read(16, 128, BLOCK_BYTES), data);
      assert.equal(owner.connectionCounts.adopted, 2);
      assert.equal(listener.openConnections, 0);
      assert.deepEqual(await discover(address), [NQN]);
      listener.removeRemoteSubsystem(address, NQN);
      assert.deepEqual(await discover(address), []);
      await owner.close();
      await Promise.all([io.raw.closed, admin.raw.closed]);
      await listener.close();
      await device.close();
      await other.io.close();
    }));
}

/** The NQNs in the discovery log, each as often as it has an address. */
async function discover(address: SocketAddress, traddr = ["127.0.0.1"]): Promise<string[]> {
  const client = await NvmeRawClient.openAdmin(uriOf(address), { subsystem: DISCOVERY_NQN });
  const lengthBytes = 8192;
  const words = [0x70 + ((lengthBytes / 4 - 1) << 16)];
  const { status, data } = await client.command({ opcode: 2, lengthBytes, words });
  assert.equal(status, 0);
  client.raw.destroy();
  const records = decodeDiscoveryHeader(data)?.records ?? -1;
  return Array.from({ length: records }, (_, index) => {
    const entry = data.subarray(1024 * (index + 1));
    assert.equal(entry.toString("latin1", 512, 768).trim(), traddr[index % traddr.length]);
    assert.ok(address.kind === "tcp");
    assert.equal(entry.toString("latin1", 32, 64).trim(), String(address.port));
    return entry.toString("latin1", 256, entry.indexOf(0, 256));
  });
}

test("discovery tells of the subsystems of a listener", () =>
  withReactor("portable", async ({ reactor }) => {
    const [one, two] = [await malloc(reactor), await malloc(reactor)];
    const service = new NvmfService(reactor, NO_HAND_OFF);
    const address = await service.listen(ANY_PORT);
    assert.deepEqual(await discover(address), []);
    const share = service.addNamespace(address, one, DEFAULTS);
    const subsystem = { nqn: `${NQN}2`, hosts: ["nqn.2026-11.x:somebody-else"] };
    const hidden = service.addNamespace(address, two, { ...DEFAULTS, subsystem });
    assert.deepEqual(await discover(address), [NQN]);
    await assert.rejects(
      NvmeRawClient.openAdmin(uriOf(address), { subsystem: subsystem.nqn }),
      /0x184$/,
    );
    await service.removeNamespace(share);
    assert.deepEqual(await discover(address), []);
    await service.removeNamespace(hidden);
    await service.close();
    await one.close();
    await two.close();
  }));

test("discovery tells of the addresses that a listener of any address has", () =>
  withReactor("portable", async ({ reactor }) => {
    const device = await malloc(reactor);
    const local = ["192.0.2.7", "2001:db8::7"];
    const service = new NvmfService(reactor, { ...NO_HAND_OFF, localAddresses: () => local });
    const [four, both] = [
      await service.listen({ kind: "tcp", host: "0.0.0.0", port: 0 }),
      await service.listen({ kind: "tcp", host: "::", port: 0 }),
    ];
    const share = service.addNamespace(four, device, DEFAULTS);
    const other = service.addNamespace(both, device, { ...DEFAULTS, nsid: 2 });
    assert.deepEqual(await discover(four, local.slice(0, 1)), [NQN]);
    assert.deepEqual(await discover(both, local), [NQN, NQN]);
    await service.removeNamespace(share);
    await service.removeNamespace(other);
    await service.close();
    await device.close();
  }));

test("namespaces of one subsystem come and go while a host is connected", () =>
  withReactor("portable", async ({ reactor }) => {
    const [one, two] = [await malloc(reactor), await malloc(reactor)];
    const service = new NvmfService(reactor, NO_HAND_OFF);
    const address = await service.listen(ANY_PORT);
    const first = service.addNamespace(address, one, DEFAULTS);
    const options = { subsystem: NQN };
    const admin = await NvmeRawClient.openAdmin(uriOf(address), options);
    const io = await NvmeRawClient.openIo(uriOf(address), admin, options);
    assert.throws(() => service.addNamespace(address, two, DEFAULTS), {
      code: "namespace-exists",
    });
    const second = service.addNamespace(address, two, { ...DEFAULTS, nsid: 2 });
    assert.equal(second.subsystem, first.subsystem);
    await service.removeNamespace(first);
    await one.close();
    const { status } = await io.command({ opcode: 0, nsid: 1 });
    assert.equal(codeOf(status), NvmeStatus.invalidNamespaceOrFormat);
    assert.equal((await io.command({ opcode: 0, nsid: 2 })).status, 0);
    await service.removeNamespace(second);
    await io.raw.closed;
    await two.close();
    await service.close();
  }));

test("a subsystem has no more connections than it may", () =>
  withReactor("portable", async ({ reactor }) => {
    const device = await malloc(reactor);
    const service = new NvmfService(reactor, NO_HAND_OFF);
    const address = await service.listen(ANY_PORT, { maxConnections: 3 });
    service.addNamespace(address, device, { ...DEFAULTS, maxConnections: 1 });
    const options = { subsystem: NQN };
    const admin = await NvmeRawClient.openAdmin(uriOf(address), options);
    // Retryable: "controller busy" without DNR.
    await assert.rejects(NvmeRawClient.openIo(uriOf(address), admin, options), /0x181$/);
    // The refused one no longer counts.
    await settles(
      () => service.openConnections === 1,
      () => `${service.openConnections} connections`,
    );
    const [first, second, third] = [1, 2, 3].map(() => NvmeRawClient.initialize(uriOf(address)));
    await Promise.all([first, second]);
    await assert.rejects(third ?? assert.fail());
    assert.ok(service.connectionCounts.refused >= 1);
    admin.raw.destroy();
    await service.close();
    await device.close();
  }));

test("NvmfService refuses a pool that is too small for its reserve", () =>
  withReactor(
    "fake",
    async ({ reactor }) => {
      assert.throws(() => new NvmfService(reactor, NO_HAND_OFF), { code: "no-memory" });
    },
    { bufferLimitBytes: 1024 * 1024 },
  ));
