/**
 * CrashDisk: a disk of memory for tests that loses what a real one may lose: when its user dies,
 * parts of what was in flight; when the power fails, parts of all that was not synced, sector by
 * sector, in any order.
 *
 *   open --dies--> dead: answers nothing any more; its image goes on in another CrashDisk
 *
 * A write is in the image when it has ended. Blocks of an image are never changed, so images share
 * them. In flight: requests that wait for their time.
 */

import { Device } from "../block/device.ts";
import { Operation, type OperationTable, Support } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { copyFromSegments, copyToSegments } from "../block/segment-copy.ts";
import { Status } from "../block/status.ts";
import { memoryDeviceInfo } from "../devices/memory-info.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import type { Prng } from "../util/prng.ts";

const BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;
const ZEROES = new Uint8Array(BLOCK_BYTES);

/** Content by block; one that is not there is zeroes. */
export type DiskImage = ReadonlyMap<number, Uint8Array>;

export interface CrashDiskOptions {
  readonly name: string;
  readonly sizeBytes: number;
  readonly instanceId: string;
  readonly image?: DiskImage;
  /** Of each request; default: none, it ends in the next turn. */
  readonly delayMs?: () => number;
  /** What becomes of a request instead of being done; ok: it is done. */
  readonly fault?: (request: Request) => Status;
  readonly readOnly?: boolean;
}

/** New content of a part of a block. */
interface Change {
  readonly block: number;
  /** All of it, as it is afterwards. */
  readonly bytes: Uint8Array;
  readonly firstSector: number;
  readonly sectors: number;
}

export class CrashDisk extends Device {
  readonly #view: Map<number, Uint8Array>;
  /** What a power loss leaves for sure. */
  readonly #stable: Map<number, Uint8Array>;
  #unsynced: Change[] = [];
  /** Changes that have been synced, since ever. */
  #synced = 0;
  readonly #inFlight = new Set<Request>();
  readonly #delayMs: () => number;
  readonly #fault: (request: Request) => Status;
  #isDead = false;

  constructor(reactor: Reactor, options: CrashDiskOptions) {
    const { instanceId, image, delayMs, fault } = options;
    const info = memoryDeviceInfo("malloc", options, { instanceId, lendsReads: false });
    super(reactor, { ...info, volatileCache: true }, CRASH_DISK_OPERATIONS);
    this.#view = new Map(image);
    this.#stable = new Map(image);
    this.#delayMs = delayMs ?? (() => 0);
    this.#fault = fault ?? (() => Status.ok);
  }

  /** Its user's processes are gone. @returns what the next one finds */
  kill(random: Prng): DiskImage {
    const image = new Map(this.#view);
    for (const request of this.#die()) {
      if (request.operation !== Operation.write) continue;
      const keep = random.float();
      for (const change of this.#changesOf(request)) applyPart(image, change, keep, random);
    }
    return image;
  }

  /** All that had not been synced is there or not, by the sector. */
  losePower(random: Prng): DiskImage {
    const image = new Map(this.#stable);
    const late = this.#die().filter(({ operation }) => operation === Operation.write);
    const changes = [...this.#unsynced, ...late.flatMap((request) => this.#changesOf(request))];
    // Now and then nearly all or nearly nothing has got there.
    const keep = random.chance(0.3) ? random.float() ** 4 : 1 - random.float() ** 4;
    for (const change of changes) applyPart(image, change, keep, random);
    return image;
  }

  /** As it is, synced or not. */
  image(): DiskImage {
    return new Map(this.#view);
  }

  protected override start(request: Request): void {
    if (this.#isDead) return;
    this.#inFlight.add(request);
    const delayMs = this.#delayMs();
    // A sync covers what had ended when it came.
    const covered = this.#synced + this.#unsynced.length;
    if (delayMs === 0) this.#end(request, covered);
    else this.reactor.clock.startTimer(delayMs, () => this.#end(request, covered));
  }

  protected override async release(): Promise<void> {
    this.#isDead = true;
  }

  #die(): Request[] {
    this.#isDead = true;
    return [...this.#inFlight];
  }

  #end(request: Request, covered: number): void {
    if (this.#isDead) return;
    this.#inFlight.delete(request);
    const status = this.#fault(request);
    if (status === Status.ok) this.#perform(request, covered);
    if (status === Status.mediaError) request.errorOffset = request.offset;
    this.reactor.completions.push(request, status);
  }

  #perform(request: Request, covered: number): void {
    switch (request.operation) {
      case Operation.read:
        this.#read(request);
        break;
      case Operation.flush:
        this.#sync(covered);
        break;
      case Operation.blockStatus: {
        const { extents } = request;
        assert(extents !== null, "checked by submit");
        extents.clear();
        extents.push(request.length, 0);
        break;
      }
      default:
        for (const change of this.#changesOf(request)) {
          this.#view.set(change.block, change.bytes);
          this.#unsynced.push(change);
        }
    }
  }

  /** The first so many changes, since ever, are on stable media. */
  #sync(covered: number): void {
    const count = Math.max(covered - this.#synced, 0);
    for (const { block, bytes } of this.#unsynced.splice(0, count)) this.#stable.set(block, bytes);
    this.#synced += count;
  }

  #read(request: Request): void {
    const { segments, offset, length } = request;
    const { slabs } = this.reactor.io;
    for (let done = 0; done < length; ) {
      const position = offset + done;
      const at = position % BLOCK_BYTES;
      const taken = Math.min(length - done, BLOCK_BYTES - at);
      const bytes = this.#view.get(Math.floor(position / BLOCK_BYTES)) ?? ZEROES;
      copyToSegments(slabs, segments, done, bytes, at, taken);
      done += taken;
    }
  }

  /** What the request would make of the blocks as they are now. */
  #changesOf(request: Request): Change[] {
    const { operation, segments, offset, length } = request;
    const { slabs } = this.reactor.io;
    const changes: Change[] = [];
    if (operation === Operation.read || operation === Operation.flush) return changes;
    for (let done = 0; done < length; ) {
      const position = offset + done;
      const block = Math.floor(position / BLOCK_BYTES);
      const at = position % BLOCK_BYTES;
      const taken = Math.min(length - done, BLOCK_BYTES - at);
      const bytes = Uint8Array.from(this.#view.get(block) ?? ZEROES);
      if (operation === Operation.write) copyFromSegments(slabs, segments, done, bytes, at, taken);
      else bytes.fill(0, at, at + taken);
      const [firstSector, sectors] = [at / SECTOR_BYTES, taken / SECTOR_BYTES];
      changes.push({ block, bytes, firstSector, sectors });
      done += taken;
    }
    return changes;
  }
}

/** Each sector of the change gets into the image with probability `keep`. */
function applyPart(
  image: Map<number, Uint8Array>,
  { block, bytes, firstSector, sectors }: Change,
  keep: number,
  random: Prng,
): void {
  const mixed = Uint8Array.from(image.get(block) ?? ZEROES);
  for (let sector = firstSector; sector < firstSector + sectors; sector++) {
    if (!random.chance(keep)) continue;
    const at = sector * SECTOR_BYTES;
    mixed.set(bytes.subarray(at, at + SECTOR_BYTES), at);
  }
  image.set(block, mixed);
}

/** The image with some bytes of a block changed. */
export function spoil(
  image: DiskImage,
  offset: number,
  change: (byte: number) => number,
): DiskImage {
  const block = Math.floor(offset / BLOCK_BYTES);
  const bytes = Uint8Array.from(image.get(block) ?? ZEROES);
  bytes[offset % BLOCK_BYTES] = change(bytes[offset % BLOCK_BYTES] ?? 0);
  return new Map(image).set(block, bytes);
}

const CRASH_DISK_OPERATIONS: OperationTable = {
  read: Support.native,
  write: Support.native,
  flush: Support.native,
  discard: Support.native,
  writeZeroes: Support.native,
  compare: Support.refuse,
  compareAndWrite: Support.refuse,
  blockStatus: Support.native,
};
