/**
 * The reactor that uses another thread's device through a proxy: runs one load, closes the proxy,
 * reports, and leaves.
 */

import { parentPort, workerData } from "node:worker_threads";
import { openProxy } from "../block/proxy-device.ts";
import type { DeviceTicket } from "../block/proxy-wire.ts";
import { Reactor } from "../reactor/reactor.ts";
import type { SharedSlabTable } from "../reactor/slab-space-shared.ts";
import { UringIo } from "../reactor/uring-io.ts";
import { assert } from "../util/assert.ts";
import { type MixOptions, type PingPongOptions, runMix, runPingPong } from "./proxy-load.ts";

export interface ProxyUserTask {
  readonly slabTable: SharedSlabTable;
  readonly ticket: DeviceTicket;
  readonly spinMsMax?: number;
  readonly mix?: MixOptions;
  readonly pingPong?: PingPongOptions;
}

export interface ProxyUserReport {
  readonly problem: string | null;
  readonly sleeps: number;
}

async function run(task: ProxyUserTask): Promise<void> {
  const { slabTable, spinMsMax } = task;
  const io = new UringIo({ slabTable, ...(spinMsMax === undefined ? {} : { spinMsMax }) });
  const proxy = openProxy(new Reactor({ id: 2, io }), task.ticket);
  let problem: string | null = null;
  try {
    if (task.mix !== undefined) await runMix(proxy, task.mix);
    if (task.pingPong !== undefined) await runPingPong(proxy, task.pingPong);
    await proxy.close();
  } catch (error) {
    problem = String(error);
  }
  const report: ProxyUserReport = { problem, sleeps: io.turnStats.sleeps };
  assert(parentPort !== null, "proxy-user-worker runs as a worker");
  parentPort.postMessage(report);
  if (problem === null) await io.close();
}

await run(workerData as ProxyUserTask);
