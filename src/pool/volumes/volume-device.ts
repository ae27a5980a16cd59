/**
 * VolumeDevice: a volume of a pool as a device, one per volume at a time.
 *
 *   request --> task (at most PENDING_TASKS_MAX) --> ended
 *                +--more wait in the device's queue
 *
 * State: its tasks. All else is the volume's (`VolumeState`) and the pool's (`DataPath`). Writes
 * are acknowledged when the log has their record: they survive the process, and the power after a
 * flush.
 */

import {
  Device,
  type DeviceDetails,
  type DeviceInfo,
  TRANSFER_BYTES_MAX,
} from "../../block/device.ts";
import { Operation, type OperationTable, RequestFlag, Support } from "../../block/operation.ts";
import type { Request } from "../../block/request.ts";
import { Status } from "../../block/status.ts";
import { uuidOfName } from "../../util/uuid.ts";
import { BLOCK_BYTES, PENDING_TASKS_MAX } from "../pool-layout.ts";
import type { DataPath } from "./data-path.ts";
import { type TaskOwner, VolumeTask } from "./volume-task.ts";
import type { VolumeState } from "./volume-state.ts";

const SECTOR_BYTES = 512;

export interface VolumeDeviceOptions {
  /** The stage as written. */
  readonly stageName: string;
  readonly readOnly: boolean;
  /** It has released all that it held. */
  onClosed(): void;
  /** Resizes the volume, and by that this device. */
  resize(sizeBytes: number): Promise<unknown>;
}

export class VolumeDevice extends Device implements TaskOwner {
  readonly volume: VolumeState;
  readonly #path: DataPath;
  readonly #onClosed: () => void;
  readonly #resize: VolumeDeviceOptions["resize"];
  #free: VolumeTask | null = null;
  #taskCount = 0;
  /** Requests that wait for a task. */
  #first: Request | null = null;
  #last: Request | null = null;
  #isStarting = false;

  constructor(path: DataPath, volume: VolumeState, options: VolumeDeviceOptions) {
    super(path.reactor, infoOf(path, volume, options), VOLUME_OPERATIONS);
    this.volume = volume;
    this.#path = path;
    this.#onClosed = () => options.onClosed();
    this.#resize = (sizeBytes) => options.resize(sizeBytes);
  }

  /** Of the pool: the volume has another size from now on. */
  resized(sizeBytes: number): void {
    this.takeSize(sizeBytes);
  }

  /** @throws PenstockError as `Pool.resizeVolume` */
  override async grow(sizeBytes: number): Promise<void> {
    await this.#resize(sizeBytes);
  }

  override describe(): DeviceDetails {
    const { name, uuid, isThin, mappedBlocks } = this.volume;
    const { label } = this.#path.parts.checkpointer;
    const provisioning = isThin ? "thin" : "thick";
    return {
      pool: label.name,
      volume: name,
      uuid,
      provisioning,
      usedBytes: mappedBlocks * BLOCK_BYTES,
    };
  }

  // hot path
  protected override start(request: Request): void {
    const { operation, flags } = request;
    const fastZero = RequestFlag.fastZero | RequestFlag.noUnmap;
    const isSlow = (flags & fastZero) === fastZero && operation === Operation.writeZeroes;
    if (isSlow && this.volume.isThin) {
      this.reactor.completions.push(request, Status.unsupported);
      return;
    }
    const task = this.#free ?? this.#makeTask();
    if (task === null) {
      this.#enqueue(request);
      return;
    }
    this.#free = task.nextFree;
    task.nextFree = null;
    task.begin(request);
  }

  // hot path
  taskEnded(task: VolumeTask, status: Status): void {
    const { client } = task;
    task.client = null;
    if (client !== null) this.reactor.completions.push(client, status);
    task.nextFree = this.#free;
    this.#free = task;
    if (this.#first !== null && !this.#isStarting) this.#startWaiting();
  }

  protected override async release(): Promise<void> {
    this.#onClosed();
  }

  #makeTask(): VolumeTask | null {
    if (this.#taskCount === PENDING_TASKS_MAX) return null;
    this.#taskCount++;
    return new VolumeTask(this.#path, this.volume, this);
  }

  /** In a loop: tasks may end at once. */
  #startWaiting(): void {
    this.#isStarting = true;
    for (let task = this.#free; this.#first !== null && task !== null; task = this.#free) {
      const request = this.#first;
      this.#first = request.next;
      if (this.#first === null) this.#last = null;
      request.next = null;
      this.#free = task.nextFree;
      task.nextFree = null;
      task.begin(request);
    }
    this.#isStarting = false;
  }

  #enqueue(request: Request): void {
    request.next = null;
    if (this.#last === null) this.#first = request;
    else this.#last.next = request;
    this.#last = request;
  }
}

function infoOf(path: DataPath, volume: VolumeState, options: VolumeDeviceOptions): DeviceInfo {
  const { parts } = path;
  return {
    name: options.stageName,
    kind: "lvol",
    sizeBytes: volume.sizeBytes,
    blockSizeBytes: SECTOR_BYTES,
    physicalBlockSizeBytes: BLOCK_BYTES,
    optimalIoBytes: BLOCK_BYTES,
    maxTransferBytes: TRANSFER_BYTES_MAX,
    readOnly: options.readOnly || parts.isReadOnly,
    volatileCache: true,
    discardGranularityBytes: BLOCK_BYTES,
    instanceId: instanceIdOf(path, volume),
    lendsReads: false,
  };
}

/**
 * Another one when a disk may have lost what was not flushed, or an import could not be sure to
 * have everything. Not with each session: a process that died has lost nothing (safety rule 3).
 */
function instanceIdOf({ parts }: DataPath, volume: VolumeState): string {
  const ids: string[] = [volume.uuid, `${parts.checkpointer.label.losses}`];
  for (let index = 0; index < parts.disks.count; index++) {
    ids.push(parts.disks.at(index).instanceId);
  }
  return uuidOfName(ids.join(" "));
}

const VOLUME_OPERATIONS: OperationTable = {
  read: Support.native,
  write: Support.native,
  flush: Support.native,
  discard: Support.native,
  writeZeroes: Support.native,
  compare: Support.emulated,
  compareAndWrite: Support.emulated,
  blockStatus: Support.native,
};
