// NVMe/TCP shares of engines and of the library, from outside: subsystems over two reactors, what
// listings, events and statistics tell of hosts, growth, and two engines with one device.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { LibraryDevice } from "../../src/library/library-device.ts";
import { freePort } from "../../src/testing/free-port.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { PENSTOCK, startEngine, startPenstock } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const MIB = 2 ** 20;
const NQN = "nqn.2026-11.io.penstock:e2e";
const HOST_NQN = "nqn.2026-11.io.penstock:host";
const WAIT_MS_MAX = 60_000;

type Run = (...args: readonly string[]) => Promise<string>;

async function engineWith(t: TestContext, args: readonly string[]): Promise<Run> {
  const engine = await startEngine(t, makeTempDir(t), { args });
  return async (...words) => {
    const { stdout } = await runCommand(PENSTOCK, [...words, "--engine", engine.uri]);
    return stdout;
  };
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX;
  while (!(await isSo())) {
    ok(performance.now() < endMs, "it does not become so");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

for (const placement of forLongRun(["apart"], ["together", "apart"])) {
  test(`an engine serves subsystems and namespaces on one port, placed ${placement}`, async (t) => {
    const run = await engineWith(t, ["--reactors", "3", "--placement", placement]);
    const port = await freePort();
    const share = (name: string, options = ""): string =>
      `malloc:///m?size=8MiB | nvmf://127.0.0.1:${port}/${name}${options}`;
    const hosts = `hosts=${HOST_NQN}`;
    await run("pipe", "create", "one", share(NQN, `?serial=S1&${hosts}`));
    await run("pipe", "create", "two", share(`${NQN}-2`));
    const ready = await run("pipe", "create", "three", share(NQN, "?nsid=2"));
    strictEqual(ready, `ready nvmf://127.0.0.1:${port}/${NQN}?nsid=2\n`);
    const exists = { message: /namespace-exists: .*another nsid/ };
    await rejects(run("pipe", "create", "four", share(NQN)), exists);
    const differs = { message: /subsystem-differs: .*of its serial/ };
    await rejects(run("pipe", "create", "four", share(NQN, "?nsid=3&serial=S2")), differs);

    const at = `nvmf://127.0.0.1:${port}/${NQN}`;
    await rejects(LibraryDevice.open(at, {}), { code: "host-refused" });
    await rejects(LibraryDevice.open(`${at}-3`, {}), { code: "subsystem-unknown" });
    const texts = [`${at}?hostnqn=${HOST_NQN}`, `${at}-2`, `${at}?nsid=2&hostnqn=${HOST_NQN}`];
    const devices = await Promise.all(texts.map((text) => LibraryDevice.open(text, {})));
    for (const [index, device] of devices.entries()) {
      await device.writeAt(new Uint8Array(4096).fill(index + 1), 0);
      await device.flush();
    }
    for (const [index, device] of devices.entries()) {
      ok((await device.readAt(4096, 0)).every((byte) => byte === index + 1));
    }
    const shares = JSON.parse(await run("share", "list", "-o", "json"));
    const [one, two, three] = shares.map((each: { details: unknown }) => each.details);
    deepStrictEqual([one.subsystem, one.nsid, three.nsid], [NQN, 1, 2]);
    strictEqual(one.connections, 10);
    strictEqual(three.connections, 10);
    deepStrictEqual(one.hosts, [{ nqn: HOST_NQN, controllers: [1, 2], queues: 8 }]);
    deepStrictEqual([two.hosts.length, two.hosts[0].queues], [1, 4]);
    match(
      await run("share", "list"),
      new RegExp(`^one .* ${NQN} +1 +10 +${HOST_NQN} \\(queues 8\\)`, "m"),
    );
    match(
      await run("events"),
      /host-connected: two: nvmf:\S+: host nqn\.2014-08\S+ \(controller 1\)/,
    );
    for (const device of devices) await device.close();
    // Their end is still on its way to another reactor.
    await until(async () => {
      const stats = await run("stats", "three", "--interval", "100ms", "-o", "json");
      return /"connections": 0/.test(stats);
    });
    for (const name of ["one", "two", "three"]) await run("pipe", "delete", name);
    strictEqual(await run("share", "list", "-o", "json"), "[]\n");
    await run("pipe", "create", "again", share(NQN, "?serial=S2"));
  });
}

test("an engine that was killed is the same hosts again, one for each source", async (t) => {
  const far = await engineWith(t, []);
  const port = await freePort();
  const at = `nvmf://127.0.0.1:${port}/${NQN}`;
  await far("pipe", "create", "one", `malloc:///m?size=8MiB | ${at}`);
  await far("pipe", "create", "two", `malloc:///m?size=8MiB | ${at}?nsid=2`);
  const hosts = async () => {
    const [{ details }] = JSON.parse(await far("share", "list", "-o", "json"));
    const found = details.hosts as { nqn: string; queues: number }[];
    return found.filter(({ queues }) => queues > 0).map(({ nqn }) => nqn);
  };
  const folder = makeTempDir(t);
  const engine = await startEngine(t, folder);
  const text = `mirror(${at}, ${at}?nsid=2) | nbd://127.0.0.1:0/x`;
  await runCommand(PENSTOCK, ["pipe", "create", "near", text, "--engine", engine.uri]);
  const before = (await hosts()).sort();
  strictEqual(new Set(before).size, 2);
  await engine.stop("SIGKILL");
  await until(async () => (await hosts()).length === 0);
  await startEngine(t, folder);
  await until(async () => (await hosts()).length === 2);
  deepStrictEqual((await hosts()).sort(), before);
});

test("a host sees a volume grow", async (t) => {
  const run = await engineWith(t, []);
  const path = join(makeTempDir(t), "grow.img");
  const ready = await run("pipe", "create", "vol", `${path}?size=1MiB | nvmf://127.0.0.1:0/${NQN}`);
  const device = await LibraryDevice.open(ready.trim().slice("ready ".length), {});
  await run("pipe", "resize", "vol", "4MiB");
  await until(async () => {
    const { stages } = await device.describe();
    return stages[0]?.details.sizeBytes === 4 * MIB;
  });
  await device.close();
});

test("two engines serve one file, and one of them is killed under writes", async (t) => {
  const path = join(makeTempDir(t), "both.img");
  const serve = (range: string) =>
    startPenstock(t, `${path}?size=8MiB&shared | nvmf://127.0.0.1:0/${NQN}?cntlid=${range}`);
  const [one, two] = [await serve("1-100"), await serve("101-200")];
  const [first = "", second = ""] = [one.uri, two.uri];
  const other = /127\.0\.0\.1:\d+/.exec(second)?.[0] ?? "";
  const device = await LibraryDevice.open(`${first}?path=${other}&queues=1`, {});
  const write = (block: number) =>
    device.writeAt(new Uint8Array(4096).fill(block + 1), block * 4096);
  for (let block = 0; block < 100; block++) {
    const writing = write(block);
    if (block === 50) await one.stop("SIGKILL");
    await writing;
  }
  await device.flush();
  for (let block = 0; block < 100; block++) {
    const bytes = await device.readAt(4096, block * 4096);
    ok(
      bytes.every((byte) => byte === block + 1),
      `block ${block}`,
    );
  }
  await device.close();
  // Whoever wants it alone is told.
  await rejects(runCommand(PENSTOCK, ["pipe", "run", `${path} | nbd://127.0.0.1:0/x`]), {
    message: /claimed: .*both\.img is in use/,
  });
});

test("the library shares over NVMe/TCP, and uses its own share", async () => {
  await using device = await LibraryDevice.open("malloc:///m?size=4MiB", { level: "portable" });
  await using share = await device.share(`nvmf://127.0.0.1:0/${NQN}`);
  match(share.uri, new RegExp(`^nvmf://127\\.0\\.0\\.1:\\d+/${NQN}$`));
  await rejects(device.share(`nvmf://127.0.0.1:0/${NQN}`), { code: "namespace-exists" });
  await using client = await LibraryDevice.open(share.uri, { level: "portable" });
  await client.writeAt(new Uint8Array(4096).fill(7), 8192);
  ok((await device.readAt(4096, 8192)).every((byte) => byte === 7));
});
