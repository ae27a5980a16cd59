// Tests of PoolHost with real pools on real reactors: where pools and their pipes live, what is
// found on disks, and in which order all of it ends.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { RealLevel } from "../reactor/level-capabilities.ts";
import { cleanUp } from "../testing/cleanup.ts";
import { forEachLevel } from "../testing/levels.ts";
import { NbdRawClient } from "../testing/nbd-raw-client.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { PipeHost } from "./pipe-host.ts";
import type { Placement } from "./placement.ts";
import type { PoolOpening } from "./pool-protocol.ts";

const MIB = 2 ** 20;
const ENGINE = randomUUID();

interface HostSettings {
  readonly level: RealLevel;
  readonly reactors: number;
  readonly placement: Placement;
}

const ALONE: HostSettings = { level: "portable", reactors: 1, placement: "together" };

async function startHost(t: TestContext, settings = ALONE): Promise<PipeHost> {
  const bugs: string[] = [];
  const onFatal = (stack: string): void => void bugs.push(stack);
  const host = await PipeHost.start({ ...settings, makeUuid: randomUUID, onFatal });
  cleanUp(t, async () => {
    deepStrictEqual(await host.close(), []);
    deepStrictEqual(bugs, []);
  });
  return host;
}

function makeDisk(t: TestContext): string {
  const path = join(makeTempDir(t), "disk");
  writeFileSync(path, "");
  truncateSync(path, 64 * MIB);
  return path;
}

function opening(name: string, disks: readonly string[]): PoolOpening {
  const who = { holder: "a test", engineUuid: ENGINE, instanceSeed: randomUUID() };
  return { name, disks, force: false, ...who };
}

test("a pool is closed after its pipes, and is there again with what they wrote", async (t) => {
  const disk = makeDisk(t);
  const first = await startHost(t);
  await first.pools.create(opening("p", [disk]), {});
  await first.pools.createVolume("p", { name: "v", sizeBytes: 4 * MIB });
  const { uri } = await first.open("lvol:///p/v | limit | nbd://127.0.0.1:0/v");
  const client = await NbdRawClient.open(uri);
  await client.write(MIB, Buffer.alloc(8192, 5));
  await client.disconnect();
  await rejects(first.pools.deleteVolume("p", "v"), { code: "volume-in-use" });
  await rejects(first.open("lvol:///p/v | nbd://127.0.0.1:0/w"), { code: "volume-in-use" });
  await rejects(first.open("lvol:///p/w | nbd://127.0.0.1:0/w"), { code: "volume-not-found" });
  await rejects(first.open("lvol:///q/v | nbd://127.0.0.1:0/w"), { code: "pool-not-found" });
  deepStrictEqual(await first.close(), []);
  await rejects(first.pools.create(opening("q", [disk]), {}), { code: "aborted" });

  const second = await startHost(t);
  const [found] = await second.pools.probe(opening("", [disk]));
  deepStrictEqual([found?.kind, found?.pool?.name], ["pool", "p"]);
  await rejects(second.pools.import(opening("p", [disk]), randomUUID()), { code: "pool-changed" });
  const { info, volumes } = await second.pools.import(
    opening("p", [disk]),
    found?.pool?.uuid ?? "",
  );
  strictEqual(info.state, "online");
  deepStrictEqual(
    volumes.map(({ name, usedBytes }) => [name, usedBytes]),
    [["v", 8192]],
  );
  const pipe = await second.open("lvol:///p/v?readonly=1 | nbd://127.0.0.1:0/v");
  const reader = await NbdRawClient.open(pipe.uri);
  ok((await reader.read(MIB, 8192)).every((byte) => byte === 5));
  await reader.disconnect();
  await second.closePipe(pipe.id);
  await second.pools.end("p", "destroy");
  strictEqual((await second.pools.probe(opening("", [disk])))[0]?.kind, "empty");
});

test("a disk is added, and an import finds out whether it was", async (t) => {
  const [one, two, other] = [makeDisk(t), makeDisk(t), makeDisk(t)] as const;
  const first = await startHost(t);
  const { info } = await first.pools.create(opening("p", [one]), {});
  const larger = await first.pools.addDisk(opening("p", [two]));
  deepStrictEqual([info.disks.length, larger.info.disks.length], [1, 2]);
  ok(larger.info.capacityBytes > info.capacityBytes);
  await rejects(first.pools.addDisk(opening("p", [two])), { code: "claimed" });
  await first.close();
  for (const adding of [two, other]) {
    const host = await startHost(t);
    const disks = adding === two ? [one] : [one, two];
    const found = await host.pools.import({ ...opening("p", disks), adding }, info.uuid);
    strictEqual(found.info.disks.length, 2);
    await host.close();
  }
  const host = await startHost(t);
  const incomplete = host.pools.import(opening("p", [one]), info.uuid);
  await rejects(incomplete, { code: "pool-incomplete" });
});

test("a look at a disk keeps nobody from opening it, and sees who has it", async (t) => {
  const disk = makeDisk(t);
  const host = await startHost(t);
  await Promise.all([
    host.pools.probe(opening("", [disk])),
    host.pools.create(opening("p", [disk]), {}),
    host.pools.probe(opening("", [disk])).catch(() => undefined),
  ]);
  await rejects(host.pools.probe(opening("", [disk])), { code: "claimed", message: /pool p/ });
  await rejects(host.pools.create(opening("q", [disk]), {}), { code: "claimed" });
  await rejects(host.pools.create(opening("p", [disk]), {}), { code: "pool-exists" });
});

forEachLevel(
  "pools go round reactors, and pipes live with theirs",
  { levels: ["uring", "posix"] },
  async (t, { io: level }) => {
    for (const placement of ["together", "apart"] as const) {
      const host = await startHost(t, { level, reactors: 2, placement });
      for (const pool of ["a", "b"]) {
        await host.pools.create(opening(pool, [makeDisk(t)]), {});
        for (const volume of ["v", "w"]) {
          await host.pools.createVolume(pool, { name: volume, sizeBytes: 4 * MIB });
        }
      }
      const texts = ["lvol:///a/v", "lvol:///b/v", "mirror(lvol:///a/w, malloc:///m?size=4MiB)"];
      for (const [index, text] of texts.entries()) {
        const { uri } = await host.open(`${text} | nbd://127.0.0.1:0/${placement}${index}`);
        const client = await NbdRawClient.open(uri);
        await client.write(4096, Buffer.alloc(4096, index + 1));
        ok((await client.read(4096, 4096)).every((byte) => byte === index + 1));
        await client.disconnect();
      }
      const both = "mirror(lvol:///a/v, lvol:///b/v) | nbd://127.0.0.1:0/both";
      await rejects(host.open(both), { code: "pools-apart" });
    }
  },
);
