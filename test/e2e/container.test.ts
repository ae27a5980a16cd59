/**
 * An engine in a Docker container, with Docker's own seccomp filter: it serves a disk over a Unix
 * socket in a shared folder, is killed and started again, and chooses its level by itself.
 *
 * Docker's filter bars io_uring from version 25 on. Where the daemon is older its filter holds as
 * it is, and ours on top of it bars io_uring: the kernel applies both.
 */

import { equal, match } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine, type EngineClient } from "../../src/api/engine-client.ts";
import { PipeState } from "../../src/api/penstock/engine/v1/engine_pb.ts";
import { type DockerContainer, DockerDaemon } from "../../src/testing/docker-daemon.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const SIZE_BYTES = 8 * 2 ** 20;
const READY_MS_MAX = 60_000;
const STEP_MS = 50;
const MIB = 2 ** 20;
const NODE = [process.execPath, "--disable-warning=ExperimentalWarning"] as const;
const BAR = fileURLToPath(import.meta.resolve("../../src/testing/bar-io-uring.ts"));
const PROGRAM = fileURLToPath(import.meta.resolve("../../src/bin/penstock.ts"));
const ENGINE = [...NODE, PROGRAM, "engine", "--data-dir", "/vol/data"] as const;
const PIPE = "file:///vol/disk?size=8MiB | nbd+unix:///v?socket=/vol/nbd.sock";

interface Rig {
  readonly container: DockerContainer;
  readonly folder: string;
  ask<T>(call: (client: EngineClient) => Promise<T>): Promise<T>;
}

async function startEngine(
  t: TestContext,
  daemon: DockerDaemon,
  options: { readonly launcher: readonly string[]; readonly hostConfig: object },
): Promise<Rig> {
  const folder = join(makeTempDir(t), "vol");
  mkdirSync(folder);
  const container = await daemon.start(t, {
    command: [...options.launcher, ...ENGINE],
    folder,
    mountAt: "/vol",
    hostConfig: { ...options.hostConfig },
  });
  const address = parseEngineAddress(`unix:${join(folder, "data", "engine.sock")}`);
  return { container, folder, ask: (call) => askEngine(address, call) };
}

async function levelOf({ container, ask }: Rig): Promise<string> {
  const untilMs = performance.now() + READY_MS_MAX;
  for (;;) {
    try {
      return (await ask(({ engine }) => engine.getEngine({}))).level;
    } catch (thrown) {
      if (performance.now() > untilMs) throw new Error(await container.log(), { cause: thrown });
      await sleep(STEP_MS);
    }
  }
}

/** An engine answers before it has opened its pipes; the test's own time limit ends this. */
async function pipeIsReady({ ask }: Rig): Promise<void> {
  for (;;) {
    const { pipes } = await ask(({ pipes }) => pipes.listPipes({}));
    if (pipes.every(({ state }) => state === PipeState.READY)) return;
    await sleep(STEP_MS);
  }
}

/** Copies in, kills, copies out, stops. */
async function serveThroughKill(rig: Rig): Promise<void> {
  const { container, folder, ask } = rig;
  const path = (name: string): string => join(folder, name);
  const uri = `nbd+unix:///v?socket=${path("nbd.sock")}`;
  const data = randomBytes(SIZE_BYTES);
  writeFileSync(path("in"), data);
  await ask(({ pipes }) => pipes.createPipe({ name: "v", text: PIPE }));
  await runCommand("nbdcopy", [path("in"), uri]);
  const killed = await container.stop("SIGKILL");
  equal(killed, 137);
  equal(Buffer.compare(readFileSync(path("disk")), data), 0);
  await container.start();
  await levelOf(rig);
  await pipeIsReady(rig);
  await runCommand("nbdcopy", [uri, path("out")]);
  equal(Buffer.compare(readFileSync(path("out")), data), 0);
  equal(await container.stop("SIGTERM"), 0, await container.log());
}

test("an engine in a Docker container chooses its level and serves through a kill", {
  skip: missingTools("dockerd", "busybox-static", "nbdcopy", "root"),
  timeout: 300_000,
}, async (t) => {
  const daemon = await DockerDaemon.start(t);
  if (typeof daemon === "string") {
    t.skip(`dockerd cannot run here: ${daemon}`);
    return;
  }
  const isBarred = Number.parseInt(await daemon.version(), 10) >= 25;

  await t.test("with Docker's own filter", async (t) => {
    const rig = await startEngine(t, daemon, { launcher: [], hostConfig: {} });
    match(await levelOf(rig), isBarred ? /^posix$/ : /^(uring|posix)$/);
    await serveThroughKill(rig);
  });

  await t.test("without io_uring, little memory, nothing writable and no privileges", async (t) => {
    const hostConfig = { ReadonlyRootfs: true, Memory: 256 * MIB, CapDrop: ["ALL"] };
    const rig = await startEngine(t, daemon, { launcher: [...NODE, BAR], hostConfig });
    equal(await levelOf(rig), "posix");
    await serveThroughKill(rig);
  });
});
