/**
 * A pool in a test: disks of memory, an environment whose randomness comes from the test's seed,
 * and the events that the pool has sent.
 */

import type { Device } from "../block/device.ts";
import { MallocDevice } from "../devices/malloc.ts";
import type { PoolEnvironment, PoolEvent } from "../pool/pool-environment.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { Prng } from "../util/prng.ts";
import { uuidOfName } from "../util/uuid.ts";

export interface TestPoolEnvironment extends PoolEnvironment {
  readonly events: PoolEvent[];
}

/** Made uuids follow from `seed`. */
export function poolEnvironment(reactor: Reactor, seed: number | string): TestPoolEnvironment {
  const prng = new Prng(seed);
  const events: PoolEvent[] = [];
  return {
    reactor,
    events,
    makeUuid: () => uuidOfName(`${prng.float()} ${prng.float()}`),
    nowMs: () => 1_800_000_000_000 + Math.floor(reactor.clock.nowMs()),
    onEvent: (event) => void events.push(event),
    holder: "test",
    engineUuid: uuidOfName("engine of the test"),
  };
}

/** Disks of memory. */
export async function mallocDisks(
  reactor: Reactor,
  sizesBytes: readonly number[],
): Promise<Device[]> {
  const disks: Device[] = [];
  for (const [index, sizeBytes] of sizesBytes.entries()) {
    const name = `disk${index}`;
    disks.push(await MallocDevice.open(reactor, { name, sizeBytes, instanceId: uuidOfName(name) }));
  }
  return disks;
}
