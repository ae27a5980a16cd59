/**
 * PoolDisks for tests: over disks of memory at any level, and over files of a fake disk that can
 * be killed, lose power and fail. Owned by one test.
 */

import type { Device } from "../block/device.ts";
import { FileDevice } from "../devices/file.ts";
import { MallocDevice } from "../devices/malloc.ts";
import { PoolDisks } from "../pool/disks/pool-disks.ts";
import { BLOCK_BYTES } from "../pool/pool-layout.ts";
import type { Reactor } from "../reactor/reactor.ts";

/** A uuid that ends in `number`, for tests. */
export function testUuid(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
}

export interface RigDisks {
  readonly disks: PoolDisks;
  readonly devices: readonly Device[];
}

/** Disks of memory, of so many blocks each. */
export async function mallocDisks(
  reactor: Reactor,
  diskBlocks: readonly number[],
  blockSizeBytes: 512 | 4096 = 512,
): Promise<RigDisks> {
  const devices: Device[] = [];
  for (const [index, blocks] of diskBlocks.entries()) {
    const instanceId = testUuid(100 + index);
    const sizeBytes = blocks * BLOCK_BYTES;
    const options = { name: `d${index}`, sizeBytes, instanceId, blockSizeBytes };
    devices.push(await MallocDevice.open(reactor, options));
  }
  return { disks: disksOf(devices), devices };
}

/** Files /disk0, /disk1 of the reactor's machine, made when they are not there. */
export async function fileDisks(
  reactor: Reactor,
  diskBlocks: readonly number[],
): Promise<RigDisks> {
  const devices: Device[] = [];
  for (const [index, blocks] of diskBlocks.entries()) {
    const sizeBytes = blocks * BLOCK_BYTES;
    devices.push(await FileDevice.open(reactor, { path: `/disk${index}`, sizeBytes }));
  }
  return { disks: disksOf(devices), devices };
}

function disksOf(devices: readonly Device[]): PoolDisks {
  return new PoolDisks(
    devices.map((device, index) => ({
      uuid: testUuid(1 + index),
      device,
      blocks: Math.floor(device.info.sizeBytes / BLOCK_BYTES),
    })),
  );
}
