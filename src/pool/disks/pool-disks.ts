/**
 * PoolDisks: the devices of a pool as one range of addresses, what of them has not been synced,
 * and the pool's one fault.
 *
 *   no fault --a sync or a frame failed--> faulted, until the pool is imported again
 *
 * It owns the devices. In flight: requests of the parts above, and one flush.
 */

import { type Device, modifies } from "../../block/device.ts";
import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import {
  type Address,
  BLOCK_BYTES,
  blockOf,
  DISKS_MAX,
  diskOf,
  type FlushWaiter,
} from "../pool-layout.ts";
import { DiskFlush } from "./disk-flush.ts";
import { DiskRequest, type DiskRequestOwner } from "./disk-request.ts";

/** One disk of the pool. */
export interface PoolDisk {
  readonly index: number;
  readonly uuid: string;
  readonly device: Device;
  /** Of the size in the label's disk table, not that of the device. */
  blocks: number;
  /** Of the device when the pool was imported: changes when volatile data may have been lost. */
  readonly instanceId: string;
  /** Free blocks through all blocks, kept by the SpaceMap: where the next chunk comes from. */
  freeShare: number;
  /** Something was written to it since its last sync began. Kept by PoolDisks. */
  isUnsynced: boolean;
}

export interface PoolDiskOptions {
  readonly uuid: string;
  readonly device: Device;
  readonly blocks: number;
}

export interface PoolFault {
  readonly status: Status;
  /** For people. */
  readonly reason: string;
  /** A sync failed: what was written may be lost although the instance ids stay. */
  readonly isSync: boolean;
}

export class PoolDisks {
  /** The pool's first fault; ok: none. Sticky. */
  fault: Status = Status.ok;
  faultReason = "";
  /** Called once, in the turn, when there is a fault. */
  onFault: ((fault: PoolFault) => void) | null = null;
  /** Submitted and not ended. */
  inFlight = 0;
  readonly #disks: PoolDisk[] = [];
  readonly #flush: DiskFlush;
  #free: DiskRequest | null = null;
  #writtenBytes = 0;
  #syncedBytes = 0;

  constructor(disks: readonly PoolDiskOptions[]) {
    for (const disk of disks) this.add(disk);
    this.#flush = new DiskFlush(this);
  }

  get count(): number {
    return this.#disks.length;
  }

  /** Written since the last flush that succeeded began. */
  get unflushedBytes(): number {
    return this.#writtenBytes - this.#syncedBytes;
  }

  // hot path
  at(index: number): PoolDisk {
    const disk = this.#disks[index];
    assert(disk !== undefined, "a disk is one of the pool's");
    return disk;
  }

  /** One more disk, behind all others. Not synced yet, whatever was done with it before. */
  add({ uuid, device, blocks }: PoolDiskOptions): PoolDisk {
    assert(this.#disks.length < DISKS_MAX, "a pool has at most 32 disks");
    assert(blocks * BLOCK_BYTES <= device.info.sizeBytes, "a disk lies within its device");
    const disk = {
      index: this.#disks.length,
      uuid,
      device,
      blocks,
      instanceId: device.info.instanceId,
      freeShare: 0,
      isUnsynced: true,
    };
    this.#disks.push(disk);
    return disk;
  }

  /** True when the run lies on a disk of the pool: for addresses that come from disks. */
  holds(address: Address, count: number): boolean {
    const disk = this.#disks[diskOf(address)];
    return disk !== undefined && count > 0 && blockOf(address) + count <= disk.blocks;
  }

  /** Hot path. */
  take(owner: DiskRequestOwner): DiskRequest {
    const request = this.#free ?? new DiskRequest(this);
    this.#free = request.next as DiskRequest | null; // only ours are in the list
    request.next = null;
    request.owner = owner;
    return request;
  }

  /** The request has ended and is not used by its taker any more. Hot path. */
  give(request: DiskRequest): void {
    assert(request.owner !== null && request.device === null, "given back once, when it has ended");
    request.owner = null;
    request.item = null;
    request.flags = 0;
    request.segments.clear();
    request.next = this.#free;
    this.#free = request;
  }

  /** `blocks` blocks from `address` on. Operation, flags and segments are the taker's. Hot path. */
  submit(request: DiskRequest, address: Address, blocks: number): void {
    request.address = address;
    const offset = blockOf(address) * BLOCK_BYTES;
    this.submitBytes(request, diskOf(address), offset, blocks * BLOCK_BYTES);
  }

  /** As `submit`, by bytes of one disk: for frames of the log. */
  submitBytes(request: DiskRequest, disk: number, offset: number, length: number): void {
    request.disk = disk;
    request.offset = offset;
    request.length = length;
    this.inFlight++;
    this.at(disk).device.submit(request);
  }

  /** By `DiskRequest`. Hot path. */
  noteEnded(request: DiskRequest): void {
    this.inFlight--;
    // Even one that failed: a part may have been written.
    if (!modifies(request.operation)) return;
    this.at(request.disk).isUnsynced = true;
    if (request.operation === Operation.write) this.#writtenBytes += request.length;
  }

  /** As `noteEnded`, of a write that did not go through `submit`. */
  noteWritten(disk: number, lengthBytes: number): void {
    this.at(disk).isUnsynced = true;
    this.#writtenBytes += lengthBytes;
  }

  /**
   * What has ended until the sync begins is on stable media when it succeeds. Who asks while one
   * is under way waits for the next.
   */
  flush(done: FlushWaiter): void {
    this.#flush.add(done);
  }

  /** The pool has failed, for good. The first reason stays. */
  raise(fault: PoolFault): void {
    assert(fault.status !== Status.ok, "a fault has a status");
    if (this.fault !== Status.ok) return;
    this.fault = fault.status;
    this.faultReason = fault.reason;
    this.onFault?.(fault);
  }

  /** By DiskFlush: how much was written when a sync began. */
  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /** By DiskFlush. */
  noteSynced(writtenBytes: number): void {
    this.#syncedBytes = writtenBytes;
  }

  /** Closes all devices, whatever becomes of them. */
  async close(): Promise<void> {
    const closings = await Promise.allSettled(this.#disks.map(({ device }) => device.close()));
    for (const closing of closings) if (closing.status === "rejected") throw closing.reason;
  }
}
