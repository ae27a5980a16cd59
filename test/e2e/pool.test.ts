// The session of mayastor-client's documentation (seed 002) with `penstock` in its place, over a
// file instead of a loop device: the same commands, columns and texts, but STATE is a word and
// DISKS are devices. Then replicas written over NBD, an engine that is killed, and all of it back.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine, type EngineClient } from "../../src/api/engine-client.ts";
import { RemoteError } from "../../src/api/remote-error.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { PENSTOCK, type PenstockProcess, startEngine } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const MIB = 2 ** 20;
const ONE_PROCESS = { args: ["--no-supervisor"] };

function ask<T>({ uri }: PenstockProcess, call: (client: EngineClient) => Promise<T>): Promise<T> {
  return askEngine(parseEngineAddress(uri), call);
}

/** Of 100 MiB, as in the documentation. */
function makeDisk(folder: string, name = "disk"): string {
  const path = join(folder, name);
  writeFileSync(path, "");
  truncateSync(path, 100 * MIB);
  return path;
}

/** What clients connect to, once it is served again. */
async function shareOf(engine: PenstockProcess, name: string): Promise<string> {
  for (;;) {
    const uri = await ask(engine, async ({ replicas }) => {
      const { replica } = await replicas.getReplica({ pool: "tpool", name });
      return replica?.shareUri ?? "";
    }).catch((thrown: unknown) => {
      if (thrown instanceof RemoteError && thrown.code === "pool-not-ready") return "";
      throw thrown;
    });
    if (uri !== "") return uri;
    await sleep(10);
  }
}

test("the session of seed 002 works with penstock in its place", async (t) => {
  const folder = makeTempDir(t);
  const engine = await startEngine(t, join(folder, "data"), ONE_PROCESS);
  const disk = makeDisk(folder);
  const penstock = async (line: string): Promise<string> => {
    const options = { environment: { PENSTOCK_ENGINE: engine.uri } };
    return (await runCommand(PENSTOCK, line.split(" "), options)).stdout;
  };
  strictEqual(await penstock(`pool create tpool ${disk}`), "");
  strictEqual(
    await penstock("pool list"),
    "NAME                 STATE        CAPACITY         USED   DISKS\n" +
      `tpool                online       96.0 MiB          0 B   ${disk}\n`,
  );
  strictEqual(await penstock("replica create tpool replica1 --size=10"), "");
  strictEqual(await penstock("replica create tpool replica2 --size=1000 --thin"), "");
  strictEqual(
    await penstock("replica list"),
    "POOL                 NAME                 THIN            SIZE\n" +
      "tpool                replica1             false       10.0 MiB\n" +
      "tpool                replica2             true         1.0 GiB\n",
  );
  match(await penstock("pool scrub tpool"), /^finished: .*, damaged blocks 0, /m);
  strictEqual(await penstock("replica destroy tpool replica1"), "");
  strictEqual(await penstock("replica destroy tpool replica2"), "");
  strictEqual(await penstock("replica list"), "No replicas have been created\n");
  strictEqual(await penstock("pool destroy tpool"), "");
  deepStrictEqual((await ask(engine, ({ pools }) => pools.listPools({}))).pools, []);
  // Nobody's again.
  await ask(engine, ({ pools }) => pools.createPool({ name: "next", disks: [disk] }));
});

test("an engine that is killed brings pools, replicas, shares and data back", async (t) => {
  const folder = makeTempDir(t);
  const disk = makeDisk(folder);
  const first = await startEngine(t, join(folder, "data"), ONE_PROCESS);
  await ask(first, ({ pools }) => pools.createPool({ name: "tpool", disks: [disk] }));
  for (const [name, thin] of [["thick", false] as const, ["thin", true] as const]) {
    const replica = { pool: "tpool", name, sizeBytes: BigInt(10 * MIB), thin };
    await ask(first, ({ replicas }) => replicas.createReplica(replica));
    const share = `nbd://127.0.0.1:0/${name}`;
    await ask(first, ({ replicas }) => replicas.shareReplica({ pool: "tpool", name, share }));
  }
  const uri = await shareOf(first, "thin");
  const data = randomBytes(MIB);
  const client = await NbdRawClient.open(uri);
  strictEqual(client.sizeBytes, 10 * MIB);
  await client.write(MIB, data);
  await client.write(3 * MIB + 512, data.subarray(0, 512));
  // Not flushed: what was acknowledged survives the process.
  await first.stop("SIGKILL");

  const second = await startEngine(t, join(folder, "data"), ONE_PROCESS);
  strictEqual(await shareOf(second, "thin"), uri);
  ok((await shareOf(second, "thick")) !== "");
  const again = await NbdRawClient.open(uri);
  ok((await again.read(MIB, MIB)).equals(data));
  ok((await again.read(3 * MIB + 512, 512)).equals(data.subarray(0, 512)));
  ok((await again.read(3 * MIB, 512)).every((byte) => byte === 0));
  await again.disconnect();
  const larger = { pool: "tpool", name: "thin", sizeBytes: BigInt(20 * MIB) };
  await ask(second, ({ replicas }) => replicas.resizeReplica(larger));
  const grown = await NbdRawClient.open(uri);
  strictEqual(grown.sizeBytes, 20 * MIB);
  ok((await grown.read(19 * MIB, 4096)).every((byte) => byte === 0));
  await grown.disconnect();

  const { replicas } = await ask(second, (each) => each.replicas.listReplicas({ pool: "tpool" }));
  deepStrictEqual(
    replicas.map(({ name, thin, usedBytes, pipes }) => [name, thin, Number(usedBytes), pipes]),
    [
      ["thick", false, 0, ["replica.tpool.thick"]],
      ["thin", true, MIB + 4096, ["replica.tpool.thin"]],
    ],
  );
  const { disks } = await ask(second, ({ devices }) => devices.listDisks({}));
  ok(disks.every(({ device }) => device.startsWith("/dev/")));
  await ask(second, ({ pools }) => pools.exportPool({ name: "tpool" }));
  strictEqual((await second.stop()).code, 0);

  // Another engine takes it in; a replica is a source like any other.
  const third = await startEngine(t, join(folder, "other"), ONE_PROCESS);
  const { pool } = await ask(third, ({ pools }) => pools.importPool({ disks: [disk] }));
  strictEqual(pool?.name, "tpool");
  const text = "lvol:///tpool/thin?readonly=1 | limit?iops=1000 | nbd://127.0.0.1:0/thin";
  const { pipe } = await ask(third, ({ pipes }) => pipes.createPipe({ name: "ro", text }));
  const reader = await NbdRawClient.open(pipe?.uri ?? "");
  ok((await reader.read(MIB, MIB)).equals(data));
  await reader.disconnect();
  const destroy = { pool: "tpool", name: "thin" };
  const refused = await ask(third, (each) => each.replicas.destroyReplica(destroy)).catch(
    (thrown: unknown) => thrown,
  );
  ok(refused instanceof RemoteError);
  match(
    `${refused.code}: ${refused.message}`,
    /^volume-in-use: tpool\/thin is used by the pipe ro/,
  );
  await ask(third, ({ pipes }) => pipes.deletePipe({ name: "ro" }));
  await ask(third, ({ pools }) => pools.destroyPool({ name: "tpool", force: true }));
  strictEqual((await third.stop()).code, 0);
});
