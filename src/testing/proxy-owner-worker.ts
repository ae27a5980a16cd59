/**
 * The reactor that owns a device which another thread uses through a proxy: makes the device,
 * posts its ticket, and does what it is told: "close-device", "leave", "stop".
 */

import { parentPort, workerData } from "node:worker_threads";
import type { Device } from "../block/device.ts";
import type { DeviceTicket } from "../block/proxy-wire.ts";
import { serveDevice } from "../block/proxy-server.ts";
import { MallocDevice } from "../devices/malloc.ts";
import { NullDevice } from "../devices/null.ts";
import { Reactor } from "../reactor/reactor.ts";
import type { SharedSlabTable } from "../reactor/slab-space-shared.ts";
import { UringIo } from "../reactor/uring-io.ts";
import { assert } from "../util/assert.ts";

export interface ProxyOwnerTask {
  readonly slabTable: SharedSlabTable;
  readonly device: "malloc" | "null";
  readonly sizeBytes: number;
  readonly spinMsMax?: number;
}

export type ProxyOwnerCommand = "close-device" | "leave" | "stop";

export type ProxyOwnerReport =
  | { readonly kind: "ticket"; readonly ticket: DeviceTicket }
  | { readonly kind: "done"; readonly command: ProxyOwnerCommand; readonly sleeps: number };

async function run(task: ProxyOwnerTask): Promise<void> {
  const port = parentPort;
  assert(port !== null, "proxy-owner-worker runs as a worker");
  const { slabTable, spinMsMax, sizeBytes } = task;
  const io = new UringIo({ slabTable, ...(spinMsMax === undefined ? {} : { spinMsMax }) });
  const reactor = new Reactor({ id: 1, io });
  const device = await openDevice(reactor, task.device, sizeBytes);
  const server = serveDevice(reactor, device);
  port.on("message", async (command: ProxyOwnerCommand) => {
    if (command === "close-device") await device.close();
    if (command === "leave") await server.close();
    if (command === "stop") {
      await server.over;
      await device.close();
    }
    const report: ProxyOwnerReport = { kind: "done", command, sleeps: io.turnStats.sleeps };
    port.postMessage(report);
    if (command !== "stop") return;
    await io.close();
    port.close();
  });
  const report: ProxyOwnerReport = { kind: "ticket", ticket: server.ticket };
  port.postMessage(report);
}

async function openDevice(
  reactor: Reactor,
  kind: ProxyOwnerTask["device"],
  sizeBytes: number,
): Promise<Device> {
  if (kind === "null") return NullDevice.open(reactor, { name: "n", sizeBytes });
  const instanceId = "6b2b6a0e-6c0f-4b57-9a7e-000000000001";
  return MallocDevice.open(reactor, { name: "m", sizeBytes, instanceId });
}

await run(workerData as ProxyOwnerTask);
