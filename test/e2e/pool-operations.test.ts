// A pool's life with the real command line: it fills up and warns, a disk grows and is taken into
// use, the engine is killed and finds the disk as large as it is by then, free space is discarded,
// and a scrub that was stopped goes on in the next engine.

import { match, ok, strictEqual } from "node:assert/strict";
import { statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine, type EngineClient } from "../../src/api/engine-client.ts";
import { PoolState, ScrubState } from "../../src/api/penstock/engine/v1/pool_pb.ts";
import { Command } from "../../src/proto/nbd/constants.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { PENSTOCK, startEngine } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const MIB = 2 ** 20;
const ONE_PROCESS = { args: ["--no-supervisor"] };

test("a pool warns, grows, is killed, and gives its free space back", {
  timeout: 120_000,
}, async (t) => {
  const folder = makeTempDir(t);
  const data = join(folder, "data");
  const disk = join(folder, "disk");
  const engine = await startEngine(t, data, ONE_PROCESS);
  const environment = { PENSTOCK_ENGINE: engine.uri };
  const penstock = async (...args: readonly string[]): Promise<string> =>
    (await runCommand(PENSTOCK, args, { environment })).stdout;
  const ask = <T>(call: (client: EngineClient) => Promise<T>): Promise<T> =>
    askEngine(parseEngineAddress(engine.uri), call);
  const pool = async () => (await ask(({ pools }) => pools.getPool({ name: "p" }))).pool;

  const thresholds = ["--warn-at", "30", "--critical-at", "60"];
  const made = [`${disk}?size=48MiB`, "--chunk", "64KiB", ...thresholds];
  strictEqual(await penstock("pool", "create", "p", ...made), "");
  const replica = { pool: "p", name: "v", sizeBytes: BigInt(64 * MIB), thin: true };
  await ask(({ replicas }) => replicas.createReplica(replica));
  const shared = await ask(({ replicas }) =>
    replicas.shareReplica({ pool: "p", name: "v", share: "nbd://127.0.0.1:0/v" }),
  );
  const uri = shared.replica?.shareUri ?? "";
  const client = await NbdRawClient.open(uri);
  for (let offset = 0; offset < 30 * MIB; offset += MIB) {
    await client.write(offset, Buffer.alloc(MIB, 1 + offset / MIB));
  }
  await client.flush();
  truncateSync(disk, 128 * MIB);
  strictEqual(await penstock("pool", "grow", "p"), `${disk}: 48.0 MiB -> 128.0 MiB\n`);
  const events = await penstock("events");
  const codes = [...events.matchAll(/(pool-space-\w+|pool-disk-grown)/g)].map(([code]) => code);
  strictEqual(
    codes.join(" "),
    "pool-space-warning pool-space-critical pool-space-ok pool-disk-grown",
  );
  await client.disconnect();
  const scrubbed = await ask((each) => scrubbedBytes(each, 1));
  while ((await pool())?.scrub?.state !== ScrubState.PAUSED) await sleep(10);

  // It was made with 48 MiB: what is there by now counts.
  await engine.stop("SIGKILL");
  truncateSync(disk, 160 * MIB);
  const second = await startEngine(t, data, ONE_PROCESS);
  while ((await pool())?.state !== PoolState.ONLINE) await sleep(10);
  strictEqual(Number((await pool())?.disks[0]?.sizeBytes), 128 * MIB);
  const { grown } = await ask(({ pools }) => pools.growPool({ name: "p", disk: `file://${disk}` }));
  strictEqual(Number(grown[0]?.sizeBytes), 160 * MIB);
  // From the first report on: it went on where the other one was.
  ok((await ask((each) => scrubbedBytes(each, 0))) >= scrubbed);
  const again = await NbdRawClient.open(uri);
  ok((await again.read(29 * MIB, MIB)).every((byte) => byte === 30));

  // What a crash leaves in free space is there until somebody asks for it.
  await again.command({ command: Command.trim, offset: MIB, length: 29 * MIB });
  await again.flush();
  await again.disconnect();
  const trimmed = await penstock("pool", "scrub", "p", "--trim");
  match(trimmed, /^finished: .*, damaged blocks 0, .*, trimmed 1\d\d\.\d MiB$/m);
  const left = statSync(disk).blocks * 512;
  ok(left < 16 * MIB, `${left} bytes are allocated for 1 MiB of data`);

  const writer = await NbdRawClient.open(uri);
  for (let offset = 0; offset < 20 * MIB; offset += MIB) {
    await writer.write(offset, Buffer.alloc(MIB, 1));
  }
  await writer.disconnect();
  strictEqual(await ask(scrubbedUntilDestroyed), ScrubState.PAUSED);
  strictEqual((await second.stop()).code, 0);
});

/** The last state of a slow scrub of a pool that is destroyed meanwhile. */
async function scrubbedUntilDestroyed({ pools }: EngineClient): Promise<ScrubState | undefined> {
  let last: ScrubState | undefined;
  let destroyed: Promise<unknown> | undefined;
  for await (const { state } of pools.scrubPool({ name: "p", mibPerSecond: 1 })) {
    last = state;
    destroyed ??= pools.destroyPool({ name: "p", force: true });
  }
  await destroyed;
  return last;
}

/** Of a slow scrub; a client that goes away stops it. */
async function scrubbedBytes(client: EngineClient, atLeast: number): Promise<number> {
  const gone = new AbortController();
  const request = { name: "p", mibPerSecond: 1 };
  for await (const { doneBytes } of client.pools.scrubPool(request, { signal: gone.signal })) {
    if (Number(doneBytes) < atLeast) continue;
    gone.abort();
    return Number(doneBytes);
  }
  throw new Error("a scrub of 1 MiB per second ended early");
}
