// Tests of the proxy between real threads, at the uring level: a verified load, sleeping and waking
// with pauses of any length, the owner's orderly leaving.

import { ok, strictEqual } from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import { Reactor } from "../reactor/reactor.ts";
import { createSharedSlabTable } from "../reactor/slab-space-shared.ts";
import { TEST_LEVELS } from "../reactor/test-reactor.ts";
import { UringIo } from "../reactor/uring-io.ts";
import type {
  ProxyOwnerCommand,
  ProxyOwnerReport,
  ProxyOwnerTask,
} from "../testing/proxy-owner-worker.ts";
import type { ProxyUserReport, ProxyUserTask } from "../testing/proxy-user-worker.ts";
import { testSeed } from "../testing/test-seed.ts";
import { AwaitedRequest } from "./awaited-request.ts";
import { Operation } from "./operation.ts";
import { openProxy } from "./proxy-device.ts";
import type { DeviceTicket } from "./proxy-wire.ts";
import { Status } from "./status.ts";

const MIB = 1024 * 1024;
const SETTINGS = {
  timeout: 120_000,
  skip: TEST_LEVELS.includes("uring") ? false : "io_uring is missing",
};

/** The owner's thread, and what it says. */
class Owner {
  readonly worker: Worker;
  /** Settles when the thread is gone. */
  readonly gone: Promise<unknown>;

  private constructor(worker: Worker) {
    this.worker = worker;
    this.gone = once(worker, "exit");
  }

  static async start(
    device: ProxyOwnerTask["device"],
    rest: Omit<ProxyOwnerTask, "device" | "sizeBytes">,
  ): Promise<{ owner: Owner; ticket: DeviceTicket }> {
    const url = new URL("../testing/proxy-owner-worker.ts", import.meta.url);
    const task: ProxyOwnerTask = { device, sizeBytes: 16 * MIB, ...rest };
    const owner = new Owner(new Worker(url, { workerData: task }));
    const report = await owner.hear((each) => each.kind === "ticket");
    if (report.kind !== "ticket") throw new Error("the first report is the ticket");
    return { owner, ticket: report.ticket };
  }

  hear(isWanted: (report: ProxyOwnerReport) => boolean): Promise<ProxyOwnerReport> {
    return new Promise((resolve, reject) => {
      const listen = (report: ProxyOwnerReport) => {
        if (!isWanted(report)) return;
        this.worker.off("message", listen);
        resolve(report);
      };
      this.worker.on("message", listen);
      this.worker.once("error", reject);
    });
  }

  /** @returns how often its reactor has slept so far */
  async tell(command: ProxyOwnerCommand): Promise<number> {
    const heard = this.hear((report) => report.kind === "done" && report.command === command);
    this.worker.postMessage(command);
    const report = await heard;
    return report.kind === "done" ? report.sleeps : 0;
  }
}

async function runUser(task: ProxyUserTask): Promise<ProxyUserReport> {
  const url = new URL("../testing/proxy-user-worker.ts", import.meta.url);
  const worker = new Worker(url, { workerData: task });
  const [report] = (await once(worker, "message")) as [ProxyUserReport];
  worker.unref();
  return report;
}

/** Runs the load of `task` in one thread on a malloc device in another. */
async function runBoth(
  task: Omit<ProxyUserTask, "slabTable" | "ticket">,
): Promise<{ userSleeps: number; ownerSleeps: number }> {
  const slabTable = createSharedSlabTable();
  const { spinMsMax } = task;
  const spin = spinMsMax === undefined ? {} : { spinMsMax };
  const { owner, ticket } = await Owner.start("malloc", { slabTable, ...spin });
  const report = await runUser({ ...task, slabTable, ticket });
  // Then the owner waits for ever: FFI rule 3 lets nobody end it.
  if (report.problem !== null) owner.worker.unref();
  strictEqual(report.problem, null);
  const ownerSleeps = await owner.tell("stop");
  await owner.gone;
  return { userSleeps: report.sleeps, ownerSleeps };
}

/** A user's reactor on this thread; its Io is closed after the test. */
async function withUser(
  t: TestContext,
  device: ProxyOwnerTask["device"],
): Promise<{ owner: Owner; proxy: ReturnType<typeof openProxy> }> {
  const slabTable = createSharedSlabTable();
  const { owner, ticket } = await Owner.start(device, { slabTable });
  const io = new UringIo({ slabTable });
  t.after(() => io.close());
  return { owner, proxy: openProxy(new Reactor({ id: 2, io }), ticket) };
}

test("100,000 verified requests at depth 32 between two threads", SETTINGS, async (t) => {
  const seed = testSeed(t);
  await runBoth({ mix: { seed, requests: 100_000, depth: 32 } });
});

for (const spinMsMax of [0, 0.06]) {
  const how = spinMsMax === 0 ? "that never spin" : "that spin";
  test(`no wake-up is lost between two threads ${how}`, SETTINGS, async (t) => {
    const count = 6000;
    const pingPong = { seed: testSeed(t), count };
    const { userSleeps, ownerSleeps } = await runBoth({ spinMsMax, pingPong });
    t.diagnostic(`${count} reads: user slept ${userSleeps} times, owner ${ownerSleeps}`);
    ok(userSleeps > count / 60 && ownerSleeps > count / 60, "both have slept");
  });
}

test("a device or server that goes first means not-ready to other threads", SETTINGS, async (t) => {
  for (const command of ["close-device", "leave"] as const) {
    const { owner, proxy } = await withUser(t, "malloc");
    const request = new AwaitedRequest();
    strictEqual(await request.run(proxy, { operation: Operation.flush }), Status.ok);
    await owner.tell(command);
    strictEqual(await request.run(proxy, { operation: Operation.flush }), Status.notReady);
    const stopped = owner.tell("stop");
    await proxy.close();
    await stopped;
    await owner.gone;
  }
});
