/**
 * PoolHost: the disks of a simulated pool, as files of one host, and what its engine gives it.
 * Owned by `PoolStage`; the devices belong to the pool that gets them.
 */

import { FileDevice } from "../../devices/file.ts";
import type { PoolEnvironment, PoolEvent } from "../../pool/pool-environment.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import { uuidOfName } from "../../util/uuid.ts";
import type { Run } from "../run.ts";
import { settingOf } from "../schedule.ts";
import { SECTOR_BYTES } from "../sector-pattern.ts";

export const HOST = "node";
const MIB = 1024 * 1024;
const FIRST_DISK_MIB = 32;
/** Of every other disk when it is new. */
export const DISK_BYTES: number = 16 * MIB;
const DISK_BYTES_MAX = 48 * MIB;
const EPOCH_MS = 1_790_000_000_000;

export class PoolHost {
  /** The pool's, open. */
  disks: readonly FileDevice[] = [];
  readonly #run: Run;
  #uuids = 0;

  constructor(run: Run) {
    this.#run = run;
    const { world, schedule } = run;
    // One more than the pool has at first.
    const count = settingOf(schedule, "disks") + 1;
    world.diskPaths = Array.from({ length: count }, (_, index) => `/disk${index}.img`);
  }

  /** True: there is a disk that the pool does not have. */
  get hasSpare(): boolean {
    return this.disks.length < this.#run.world.diskPaths.length;
  }

  async openDisks(reactor: Reactor, count: number): Promise<readonly FileDevice[]> {
    const opening = Array.from({ length: count }, (_, disk) => this.#openDisk(reactor, disk));
    this.disks = await Promise.all(opening);
    return this.disks;
  }

  /** One more. */
  async openSpare(reactor: Reactor): Promise<FileDevice> {
    const device = await this.#openDisk(reactor, this.disks.length);
    this.disks = [...this.disks, device];
    return device;
  }

  /** What one of the disks may grow to, by `mib`; null: no more. */
  largerSize(disk: number, mib: number): number | null {
    const { sizeBytes = DISK_BYTES_MAX } = this.disks[disk]?.info ?? {};
    return sizeBytes >= DISK_BYTES_MAX ? null : sizeBytes + mib * MIB;
  }

  environment(reactor: Reactor, heard: (event: PoolEvent) => void): PoolEnvironment {
    const { world, schedule } = this.#run;
    return {
      reactor,
      makeUuid: () => uuidOfName(`pool ${schedule.seed} ${++this.#uuids}`),
      nowMs: () => EPOCH_MS + Math.floor(world.nowMs),
      onEvent: heard,
      holder: "the simulator",
      engineUuid: uuidOfName("the simulator"),
    };
  }

  #openDisk(reactor: Reactor, disk: number): Promise<FileDevice> {
    const { world, schedule } = this.#run;
    const path = world.diskPaths[disk];
    assert(path !== undefined, "every disk has a path");
    // It may have grown since it was made, or in part, when that was interrupted.
    const firstBytes = disk === 0 ? FIRST_DISK_MIB * MIB : DISK_BYTES;
    const grownBytes = world.host(HOST).file(path)?.sizeBytes ?? 0;
    const sizeBytes = Math.max(firstBytes, Math.ceil(grownBytes / MIB) * MIB);
    const blockSizeBytes = settingOf(schedule, "blockSectors") * SECTOR_BYTES;
    const direct = settingOf(schedule, "direct") === 1;
    return FileDevice.open(reactor, { path, sizeBytes, blockSizeBytes, direct });
  }
}
