/**
 * ServedExport: one device shared over NBD by a service in this process, for tests through real
 * sockets. The test owns it and stops it: service first, then device.
 */

import assert from "node:assert/strict";
import type { Device } from "../block/device.ts";
import { MallocDevice } from "../devices/malloc.ts";
import type { SocketAddress } from "../reactor/io.ts";
import { TEST_LEVELS, type TestReactor } from "../reactor/test-reactor.ts";
import type { ListenerLimits } from "../shares/listening-port.ts";
import { NbdService } from "../shares/nbd-service.ts";

export const ANY_PORT: SocketAddress = { kind: "tcp", host: "127.0.0.1", port: 0 };
/** Those with real sockets. */
export const SOCKET_LEVELS = TEST_LEVELS.filter((level) => level !== "fake");
export const NO_HAND_OFF = { handOff: () => assert.fail("nothing is handed off") };

export interface ServedExport<D extends Device = Device> {
  readonly service: NbdService;
  readonly uri: string;
  readonly address: SocketAddress;
  readonly device: D;
}

/** Shares `device` as "vol". */
export async function serveExport<D extends Device>(
  { reactor }: TestReactor,
  device: D,
  limits: ListenerLimits = {},
): Promise<ServedExport<D>> {
  const service = new NbdService(reactor, NO_HAND_OFF);
  const address = await service.listen(ANY_PORT, limits);
  service.addExport(address, device, { name: "vol" });
  assert.ok(address.kind === "tcp");
  return { service, address, device, uri: `nbd://127.0.0.1:${address.port}/vol` };
}

export function openMalloc(
  { reactor }: TestReactor,
  sizeBytes: number = 8 * 1024 * 1024,
): Promise<MallocDevice> {
  const instanceId = "00000000-0000-4000-8000-000000000001";
  return MallocDevice.open(reactor, { name: "vol", sizeBytes, instanceId });
}

export async function stopExport({ service, device }: ServedExport): Promise<void> {
  await service.close();
  await device.close();
}
