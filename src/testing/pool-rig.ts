/**
 * Pools for tests: over disks of memory at any level; and over files of a fake machine whose
 * process can be killed and whose power can fail, again and again.
 */

import type { Device } from "../block/device.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import { FileDevice } from "../devices/file.ts";
import { MallocDevice } from "../devices/malloc.ts";
import { Pool } from "../pool/pool.ts";
import type { PoolEnvironment, PoolEvent } from "../pool/pool-environment.ts";
import type { CreatePoolOptions, PoolOptions } from "../pool/pool-info.ts";
import type { VolumeDevice } from "../pool/volumes/volume-device.ts";
import { type FakeProcess, FakeWorld } from "../reactor/fake/fake-world.ts";
import { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
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

export interface TestVolumeOptions extends Partial<CreatePoolOptions> {
  readonly diskBytes: readonly number[];
  readonly sizeBytes: number;
  readonly isThin?: boolean;
  readonly seed?: number;
}

/** A volume of a new pool over disks of memory; closing it exports the pool. */
export async function openTestVolume(
  reactor: Reactor,
  { diskBytes, sizeBytes, isThin = true, seed = 1, ...options }: TestVolumeOptions,
): Promise<VolumeDevice> {
  const devices = await mallocDisks(reactor, diskBytes);
  const environment = poolEnvironment(reactor, seed);
  const pool = await Pool.create(environment, devices, { name: "p", ...options });
  await pool.createVolume({ name: "v", sizeBytes, isThin });
  const device = await pool.openVolume("v", { stageName: "lvol:///p/v" });
  const closeDevice = device.close.bind(device);
  let closed: Promise<void> | null = null;
  device.close = () => {
    closed ??= closeDevice().then(() => pool.export());
    return closed;
  };
  return device;
}

export interface PoolWorldOptions extends PoolOptions {
  readonly seed: number;
  readonly diskBytes: readonly number[];
  readonly create?: Partial<CreatePoolOptions>;
}

/** A machine with a pool. One session at a time; each is a process of its own. */
export class PoolWorld {
  readonly world: FakeWorld;
  /** Of the next session's disks: they may have grown, or become more. */
  diskBytes: readonly number[];
  /** Of the next imports. */
  force = false;
  readonly #options: PoolWorldOptions;
  #process: FakeProcess | null = null;
  #sessions = 0;
  events: PoolEvent[] = [];

  constructor(options: PoolWorldOptions) {
    this.world = new FakeWorld({ seed: options.seed });
    this.#options = options;
    this.diskBytes = options.diskBytes;
  }

  /** Runs the world until `step` has settled. */
  run<T>(step: () => Promise<T>): Promise<T> {
    return this.world.runUntil(step());
  }

  /** The first session makes the pool, later ones import it. */
  async open({ readOnly = false }: { readOnly?: boolean } = {}): Promise<Pool> {
    assert(this.#process === null, "one session at a time");
    const { seed, diskBytes: _first, create = {}, ...options } = this.#options;
    this.#process = this.world.process();
    const reactor = new Reactor({ id: 0, io: this.#process.io });
    const environment = poolEnvironment(reactor, `${seed} ${this.#sessions}`);
    this.events = environment.events;
    const devices: Device[] = [];
    for (const [index, sizeBytes] of this.diskBytes.entries()) {
      const file = { path: `/disk${index}`, ...(readOnly ? { readOnly } : { sizeBytes }) };
      devices.push(await FileDevice.open(reactor, file));
    }
    const isFirst = this.#sessions++ === 0;
    const how = { ...options, force: this.force, readOnly };
    if (!isFirst) return Pool.import(environment, devices, how);
    return Pool.create(environment, devices, { name: "p", ...options, ...create });
  }

  kill(): void {
    this.#process?.kill();
    this.#process = null;
  }

  /** @param keep chance of each sector that was not synced to be there */
  powerLoss(keep?: number): void {
    this.world.powerLoss("local", keep);
    this.#process = null;
  }

  /** The pool was exported: its process ends. */
  async exported(pool: Pool): Promise<void> {
    await pool.export();
    this.kill();
  }
}

/** Opens a volume to await its answers. */
export async function openForTest(pool: Pool, name: string): Promise<PromiseDevice> {
  return new PromiseDevice(await pool.openVolume(name, { stageName: `lvol:///p/${name}` }));
}
