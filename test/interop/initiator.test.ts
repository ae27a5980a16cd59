/**
 * Our initiator and what goes wrong at the other end: errors, hangs and restarts of servers of
 * others, a target of ours killed under load, and a chain of pipes under fio.
 */

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { PromiseDevice } from "../../src/block/promise-device.ts";
import { NbdDevice, type NbdOptions } from "../../src/devices/nbd.ts";
import { withReactor } from "../../src/reactor/test-reactor.ts";
import type { TestScope } from "../../src/testing/cleanup.ts";
import {
  type ForeignServer,
  startNbdkit,
  startQemuNbd,
} from "../../src/testing/foreign-nbd-server.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { openingId } from "../../src/testing/nbd-pair.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { VerifiedWriter } from "../../src/testing/verified-writer.ts";
import { Prng } from "../../src/util/prng.ts";

const BLOCK = 4096;
const MIB = 1024 * 1024;
const NBDKIT = missingTools("nbdkit");
const QEMU = missingTools("qemu-nbd");

/** Runs `body` with a device on `server`, which is killed after. */
async function withDevice(
  server: ForeignServer,
  options: Partial<NbdOptions>,
  body: (user: PromiseDevice, device: NbdDevice) => Promise<void>,
): Promise<void> {
  try {
    await withReactor("portable", async ({ reactor }) => {
      const device = await NbdDevice.open(reactor, {
        address: { kind: "unix", path: server.socketPath },
        exportName: "",
        name: "nbd+unix:///",
        openingId: openingId(),
        ...options,
      });
      const user = new PromiseDevice(device);
      try {
        await body(user, device);
      } finally {
        await user.close();
      }
    });
  } finally {
    await server.kill();
  }
}

const socketIn = (t: TestScope): string => join(makeTempDir(t), "socket");

test("an error of nbdkit is the request's, with its offset", { skip: NBDKIT }, async (t) => {
  const folder = makeTempDir(t);
  const trigger = join(folder, "fail");
  const server = await startNbdkit(join(folder, "socket"), [
    "--filter=error",
    "memory",
    "16M",
    "error=EIO",
    "error-rate=100%",
    `error-file=${trigger}`,
  ]);
  await withDevice(server, {}, async (user, device) => {
    const data = new Uint8Array(BLOCK).fill(7);
    await user.writeAt(8192, data);
    writeFileSync(trigger, "");
    await rejects(user.readAt(8192, BLOCK), { code: "media-error", message: /at 8192/ });
    await rejects(user.writeAt(8192, data), { code: "media-error" });
    rmSync(trigger);
    deepStrictEqual(await user.readAt(8192, BLOCK), data);
    strictEqual(device.condition.link, "up");
  });
});

test("a server that takes too long fails what waits for it", { skip: NBDKIT }, async (t) => {
  const args = ["--filter=delay", "memory", "16M", "rdelay=30"];
  const server = await startNbdkit(socketIn(t), args);
  await withDevice(server, { failFast: true, timeoutMs: 2000 }, async (user) => {
    await user.writeAt(0, new Uint8Array(BLOCK).fill(1));
    await rejects(user.readAt(0, BLOCK), { code: "timeout" });
    await rejects(user.writeAt(0, new Uint8Array(BLOCK)), { code: "path-lost" });
  });
});

for (const [name, skip] of [
  ["nbdkit", NBDKIT],
  ["qemu-nbd", QEMU],
] as const) {
  test(`a restart of ${name} is a loss for the next flush only`, { skip }, async (t) => {
    const folder = makeTempDir(t);
    const image = join(folder, "image");
    writeFileSync(image, "");
    truncateSync(image, 16 * MIB);
    const start = (): Promise<ForeignServer> =>
      name === "nbdkit"
        ? startNbdkit(join(folder, "socket"), ["file", image])
        : startQemuNbd(join(folder, "socket"), ["--format=raw", image]);
    let server = await start();
    const restart = async (): Promise<void> => {
      await server.kill();
      server = await start();
    };
    const proxy: ForeignServer = {
      socketPath: server.socketPath,
      kill: () => server.kill(),
      signal: (signal) => server.signal(signal),
    };
    await withDevice(proxy, {}, async (user) => {
      const data = new Uint8Array(BLOCK).fill(9);
      await user.writeAt(0, data);
      await user.flush();
      await restart();
      // Nothing was at stake.
      deepStrictEqual(await user.readAt(0, BLOCK), data);
      await user.flush();
      await user.writeAt(BLOCK, data);
      await restart();
      deepStrictEqual(await user.readAt(BLOCK, BLOCK), data);
      // It is there, but the server cannot say so.
      await rejects(user.flush(), { code: "data-lost" });
      await user.flush();
    });
  });
}

test("a server that was stopped for a while loses nothing", { skip: NBDKIT }, async (t) => {
  const server = await startNbdkit(socketIn(t), ["memory", "16M"]);
  await withDevice(server, {}, async (user) => {
    const data = new Uint8Array(64 * BLOCK).fill(3);
    server.signal("SIGSTOP");
    const writes = Array.from({ length: 32 }, (_, index) =>
      user.writeAt(index * data.length, data),
    );
    await sleep(200);
    server.signal("SIGCONT");
    await Promise.all(writes);
    deepStrictEqual(await user.readAt(31 * data.length, data.length), data);
    await user.flush();
  });
});

forEachLevel(
  "a target killed under load loses nothing that was acknowledged",
  {},
  async (t, level) => {
    const folder = makeTempDir(t);
    const socket = join(folder, "socket");
    const lower = `${join(folder, "disk.img")}?size=32MiB | nbd+unix:///lower?socket=${socket}`;
    let target = await startPenstock(t, lower, { level });
    const middle = await startPenstock(
      t,
      `nbd+unix:///lower?socket=${socket} | nbd://127.0.0.1:0/upper`,
      { level },
    );
    const client = await NbdRawClient.open(middle.uri, { replies: "structured" });
    const prng = new Prng(testSeed(t));
    const lengthBytes = 16 * MIB;
    const writer = new VerifiedWriter({ lengthBytes, prng, depth: 16 });
    const running = writer.run(client);
    for (let round = 0; round < forLongRun(2, 20); round++) {
      await sleep(300 + prng.below(300));
      await target.stop("SIGKILL");
      await sleep(prng.below(500));
      target = await startPenstock(t, lower, { level });
      const before = writer.acknowledgedCount;
      while (writer.acknowledgedCount < before + 50) await sleep(20);
    }
    writer.stop();
    await running;
    strictEqual(client.failure, undefined);
    writer.check(await readAll(client, lengthBytes));
    await client.flush();
    await client.disconnect();
    // The same bytes are below.
    ok((await middle.stop()).code === 0, middle.stderr);
    const direct = await NbdRawClient.open(target.uri, { replies: "structured" });
    writer.check(await readAll(direct, lengthBytes));
    await direct.disconnect();
  },
);

forEachLevel(
  "fio verifies through a chain of pipes",
  { skip: missingTools("fio") },
  async (t, level) => {
    const folder = makeTempDir(t);
    const below = await startPenstock(
      t,
      `${join(folder, "disk.img")}?size=64MiB | nbd://127.0.0.1:0/below`,
      { level },
    );
    const above = await startPenstock(t, `${below.uri} | nbd://127.0.0.1:0/above`, { level });
    const common = [
      "--name=chain",
      "--ioengine=nbd",
      `--uri=${above.uri}`,
      "--size=64m",
      "--verify=crc32c",
      "--verify_fatal=1",
      "--verify_state_save=0",
      "--iodepth=16",
    ];
    const total = `--io_size=${forLongRun(16, 512)}m`;
    const mixed = ["--rw=randrw", "--bsrange=512-256k", "--blockalign=512", "--fsync=64"];
    await runCommand("fio", [...common, ...mixed, total], { cwd: folder });
    const trims = ["--rw=randtrimwrite", "--bs=16k", "--serialize_overlap=1"];
    await runCommand("fio", [...common, ...trims, total], { cwd: folder });
    strictEqual((await above.stop()).code, 0, above.stderr);
    strictEqual((await below.stop()).code, 0, below.stderr);
  },
);

async function readAll(client: NbdRawClient, lengthBytes: number): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  for (let at = 0; at < lengthBytes; at += MIB) parts.push(await client.read(at, MIB));
  return Buffer.concat(parts);
}
