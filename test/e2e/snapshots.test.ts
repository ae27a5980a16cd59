// Snapshots by the command line and the RPC of real engines: taken under load, listed, compared,
// cloned, rolled back to; sent to a file and to another engine over a connection that is cut again
// and again; engines that stop in the middle.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { statSync, truncateSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine, type EngineClient } from "../../src/api/engine-client.ts";
import { cleanUp } from "../../src/testing/cleanup.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { PENSTOCK, type PenstockProcess, startEngine } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const MIB = 2 ** 20;
/** Increments that are sent after a base. */
const INCREMENTS = forLongRun(2, 20);
const BLOCK = 4096;

function ask<T>({ uri }: PenstockProcess, call: (client: EngineClient) => Promise<T>): Promise<T> {
  return askEngine(parseEngineAddress(uri), call);
}

async function startWithPool(t: TestContext, name: string): Promise<PenstockProcess> {
  const folder = makeTempDir(t);
  const args = ["--no-supervisor", "--listen", "127.0.0.1:0"];
  const engine = await startEngine(t, join(folder, "data"), { args });
  const disk = join(folder, "disk");
  writeFileSync(disk, "");
  truncateSync(disk, 200 * MIB);
  await ask(engine, ({ pools }) => pools.createPool({ name, disks: [disk] }));
  return engine;
}

/** `penstock LINE`, words by single spaces; through a shell where bytes go to files. */
async function penstock(engine: PenstockProcess, line: string): Promise<string> {
  const options = { environment: { PENSTOCK_ENGINE: engine.uri } };
  return (await runCommand("/bin/sh", ["-c", `"${PENSTOCK}" ${line}`], options)).stdout;
}

/** What it fails with. */
async function refused(engine: PenstockProcess, line: string): Promise<string> {
  const options = { environment: { PENSTOCK_ENGINE: engine.uri }, exitCode: "any" } as const;
  const { exitCode, stderr } = await runCommand(
    "/bin/sh",
    ["-c", `"${PENSTOCK}" ${line}`],
    options,
  );
  ok(exitCode !== 0, line);
  return stderr;
}

async function share(engine: PenstockProcess, pool: string, name: string): Promise<NbdRawClient> {
  const request = { pool, name, share: `nbd://127.0.0.1:0/${name}` };
  const { replica } = await ask(engine, (each) => each.replicas.shareReplica(request));
  return await NbdRawClient.open(replica?.shareUri ?? "");
}

/** All that a replica or a snapshot holds. */
async function contentOf(engine: PenstockProcess, pool: string, name: string): Promise<Buffer> {
  const text = `lvol:///${pool}/${name}?readonly=1 | nbd://127.0.0.1:0/look`;
  const { pipe } = await ask(engine, ({ pipes }) => pipes.createPipe({ name: "look", text }));
  const client = await NbdRawClient.open(pipe?.uri ?? "");
  const parts: Buffer[] = [];
  for (let at = 0; at < client.sizeBytes; at += MIB) {
    parts.push(await client.read(at, Math.min(MIB, client.sizeBytes - at)));
  }
  await client.disconnect();
  await ask(engine, ({ pipes }) => pipes.deletePipe({ name: "look" }));
  return Buffer.concat(parts);
}

/** A way to an engine that breaks after so many bytes to it, once for each number. */
async function openCutter(t: TestContext, to: string, cutsAfter: number[]): Promise<string> {
  const { port, host } = parseEngineAddress(to) as { port: number; host: string };
  const server = createServer((client) => {
    const engine = connect(port, host);
    let sent = 0;
    const end = (): void => {
      client.destroy();
      engine.destroy();
    };
    client.on("error", end).on("close", end);
    engine.on("error", end).on("close", end);
    engine.pipe(client);
    client.on("data", (bytes: Buffer) => {
      sent += bytes.length;
      const [cutAfter] = cutsAfter;
      if (cutAfter !== undefined && sent > cutAfter) {
        cutsAfter.shift();
        end();
        return;
      }
      if (engine.write(bytes)) return;
      client.pause();
      engine.once("drain", () => client.resume());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanUp(t, async () => void server.close());
  const address = server.address();
  return typeof address === "object" ? `127.0.0.1:${address?.port}` : "";
}

test("snapshots by the command line: taken, listed, compared, cloned, undone", async (t) => {
  const engine = await startWithPool(t, "fast");
  strictEqual(await penstock(engine, "snapshot list"), "No snapshots have been taken\n");
  await penstock(engine, "replica create fast vol --size 8MiB --thin");
  const client = await share(engine, "fast", "vol");
  await client.write(0, Buffer.alloc(4 * BLOCK, 1));
  await penstock(engine, "snapshot create fast vol@one");
  await client.write(BLOCK, Buffer.alloc(BLOCK, 2));
  await client.write(MIB, Buffer.alloc(BLOCK, 3));
  await penstock(engine, "snapshot create fast vol@two");
  match(await refused(engine, "snapshot create fast vol@two"), /^penstock: snapshot-exists: /);
  match(await refused(engine, "snapshot create fast none@x"), /^penstock: volume-not-found: /);
  match(await refused(engine, "snapshot create fast vol"), /^penstock: field-invalid: .*@SNAPSHOT/);
  match(await refused(engine, "snapshot delete fast vol@x"), /^penstock: snapshot-not-found: /);
  const table = await penstock(engine, "snapshot list");
  match(
    table,
    /^POOL +NAME +SIZE +USED +CLONES +STATE +CREATED\nfast +vol@one +8.0 MiB +16.0 KiB /,
  );
  const list = JSON.parse(await penstock(engine, "snapshot list --pool fast --space -o json"));
  deepStrictEqual(
    list.map((each: Record<string, unknown>) => [
      ...[each.name, each.usedBytes, each.ownBytes, each.sharedBytes, each.wouldFreeBytes],
    ]),
    [
      ["vol@one", 4 * BLOCK, BLOCK, 3 * BLOCK, BLOCK],
      ["vol@two", 5 * BLOCK, 0, 5 * BLOCK, 0],
    ],
  );
  deepStrictEqual(
    JSON.parse(await penstock(engine, "snapshot diff fast vol@one vol@two -o json")),
    [
      { offset: BLOCK, length: BLOCK, kind: "data" },
      { offset: MIB, length: BLOCK, kind: "data" },
    ],
  );
  strictEqual(await penstock(engine, "snapshot diff fast vol@two vol -o json"), "[]\n");
  strictEqual(
    await penstock(engine, "snapshot diff fast vol@two vol@one --offset 1MiB"),
    `${MIB}\t${BLOCK}\tzero\n`,
  );
  await penstock(engine, "replica clone fast vol@one copy");
  const { replica } = await ask(engine, ({ replicas }) =>
    replicas.getReplica({ pool: "fast", name: "copy" }),
  );
  deepStrictEqual([replica?.origin, replica?.usedBytes], ["vol@one", BigInt(4 * BLOCK)]);
  const copy = await share(engine, "fast", "copy");
  ok((await copy.read(0, 4 * BLOCK)).equals(Buffer.alloc(4 * BLOCK, 1)));
  await copy.write(0, Buffer.alloc(512, 9));
  await copy.disconnect();
  ok((await contentOf(engine, "fast", "vol@two")).subarray(BLOCK, 2 * BLOCK).every((b) => b === 2));
  match(await refused(engine, "snapshot rollback fast vol@one"), /^penstock: volume-in-use: /);
  await client.disconnect();
  await penstock(engine, "replica unshare fast vol");
  await penstock(engine, "snapshot rollback fast vol@one");
  ok((await contentOf(engine, "fast", "vol")).equals(await contentOf(engine, "fast", "vol@one")));
  await penstock(engine, "replica promote fast copy");
  const names = await ask(engine, async ({ snapshots }) =>
    (await snapshots.listSnapshots({ pool: "fast", replica: "copy" })).snapshots.map(
      ({ name }) => name,
    ),
  );
  deepStrictEqual(names, ["copy@one"]);
  await penstock(engine, "replica flatten fast vol");
  await penstock(engine, "snapshot delete fast copy@one");
  strictEqual((await engine.stop()).code, 0);
});

test("a snapshot goes through a file, and what came of a cut one is gone on with", async (t) => {
  const from = await startWithPool(t, "fast");
  const to = await startWithPool(t, "safe");
  const folder = makeTempDir(t);
  await penstock(from, "replica create fast vol --size 20MiB --thin");
  const client = await share(from, "fast", "vol");
  for (let at = 0; at < 16; at++) await client.write(at * MIB, randomBytes(MIB));
  await client.write(16 * MIB, Buffer.alloc(3 * MIB, 7));
  await penstock(from, "snapshot create fast vol@one");
  await penstock(from, `send fast vol@one --zstd > ${folder}/one`);
  const { size } = statSync(join(folder, "one"));
  ok(size > 16 * MIB && size < 17 * MIB);
  // A reader that goes is a failure.
  const { stderr } = await runCommand(
    "/bin/sh",
    ["-c", `("${PENSTOCK}" send fast vol@one; echo "code $?" >&2) | head -c 100000 >${folder}/x`],
    { environment: { PENSTOCK_ENGINE: from.uri } },
  );
  match(stderr, /^penstock: output-failed: .*\ncode 1\n$/);
  await runCommand("/bin/sh", ["-c", `head -c 9000000 ${folder}/one > ${folder}/part`]);
  match(await refused(to, `receive safe copy --thin < ${folder}/part`), /^penstock: stream-cut: /);
  strictEqual(await penstock(to, "snapshot list"), "No snapshots have been taken\n");
  match(await refused(to, "replica share safe copy nbd"), /volume-receiving/);
  const token = (await penstock(to, "receive safe copy --resume-token")).trim();
  await penstock(from, `send fast --resume ${token} --zstd > ${folder}/rest`);
  ok(statSync(join(folder, "rest")).size < size - 7 * MIB);
  strictEqual(await penstock(to, `receive safe copy < ${folder}/rest`), "safe/copy@one\n");
  match(await refused(to, "receive safe copy --resume-token"), /^penstock: not-receiving: /);
  ok((await contentOf(to, "safe", "copy@one")).equals(await contentOf(from, "fast", "vol@one")));
  match(await refused(to, `receive safe copy < ${folder}/one`), /^penstock: already-received: /);
  await client.disconnect();
});

test("a base and increments reach another engine over a line that is often cut", async (t) => {
  const from = await startWithPool(t, "fast");
  const to = await startWithPool(t, "safe");
  await penstock(from, "replica create fast vol --size 24MiB --thin");
  const client = await share(from, "fast", "vol");
  const cuts = [4e6, 1e6, 2e6, 300, 5e6];
  const address = await openCutter(t, to.uri, cuts);
  for (let step = 0; step <= INCREMENTS; step++) {
    const count = step === 0 ? 20 : 3;
    for (let at = 0; at < count; at++) {
      const where = step === 0 ? at : (at * 7 + step * 5) % 24;
      await client.write(where * MIB, randomBytes(MIB));
    }
    const request = { pool: "fast", snapshot: `vol@s${step}` };
    await ask(from, ({ snapshots }) => snapshots.createSnapshot(request));
    if (step > 0) cuts.push(1.5e6, step * 1000);
    const base = step === 0 ? "" : `--base vol@s${step - 1}`;
    await penstock(from, `send fast vol@s${step} ${base} --to ${address} --into safe/vol --thin`);
    ok(cuts.length === 0 || step === 0, `${cuts}`);
    const received = await contentOf(to, "safe", `vol@s${step}`);
    ok(received.equals(await contentOf(from, "fast", `vol@s${step}`)), `s${step}`);
  }
  await client.disconnect();
});
