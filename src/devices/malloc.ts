/**
 * MallocDevice: `malloc:///name?size=64MiB`, a disk of memory. Everything is gone with the process.
 *
 * The memory lies in slabs of up to 1 GiB that the kernel fills when they are first touched. One
 * byte per 64 KiB says what is known of it, so that never-written and discarded ranges are holes.
 * All work is done inside `start`, in one go: a request is atomic against every other, but for
 * memory lent to readers, which may change under a later write. In flight: completions only.
 */

import { Device } from "../block/device.ts";
import { type ExtentList, ExtentFlag } from "../block/extents.ts";
import { Operation, type OperationTable, RequestFlag, Support } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { compareSegments, copyFromSegments, copyToSegments } from "../block/segment-copy.ts";
import { Status } from "../block/status.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { SLAB_BYTES_MAX, type Slab } from "../reactor/slab.ts";
import { unreachable } from "../util/assert.ts";
import { checkMemorySize, memoryDeviceInfo } from "./memory-info.ts";

/** Unit of what is known about the content. */
const CHUNK_BYTES = 64 * 1024;

const ChunkState = {
  /** Zeroes, reported as a hole. */
  hole: 0,
  data: 1,
  /** Zeroes that keep their allocation (write-zeroes with no-unmap). */
  zero: 2,
} as const;
type ChunkState = (typeof ChunkState)[keyof typeof ChunkState];

const FLAGS_BY_STATE: readonly number[] = [ExtentFlag.hole | ExtentFlag.zero, 0, ExtentFlag.zero];

export interface MallocOptions {
  /** The URI's path, for listings. */
  readonly name: string;
  readonly sizeBytes: number;
  /** 512 (default) or 4096. */
  readonly blockSizeBytes?: number;
  readonly readOnly?: boolean;
  /** A new UUID for each open, since opening makes new content. */
  readonly instanceId: string;
}

export class MallocDevice extends Device {
  readonly #slabs: Slab[];
  readonly #chunks: Uint8Array;

  /** @throws PenstockError `size-invalid`, `out-of-memory` */
  static async open(reactor: Reactor, options: MallocOptions): Promise<MallocDevice> {
    const blockSizeBytes = options.blockSizeBytes ?? 512;
    checkMemorySize(options.sizeBytes, blockSizeBytes);
    return new MallocDevice(reactor, options, allocateAll(reactor, options.sizeBytes));
  }

  private constructor(reactor: Reactor, options: MallocOptions, slabs: Slab[]) {
    const info = memoryDeviceInfo("malloc", options, {
      instanceId: options.instanceId,
      lendsReads: true,
    });
    super(reactor, info, MALLOC_OPERATIONS);
    this.#slabs = slabs;
    this.#chunks = new Uint8Array(Math.ceil(options.sizeBytes / CHUNK_BYTES));
  }

  // hot path
  protected override start(request: Request): void {
    this.reactor.completions.push(request, this.#perform(request));
  }

  protected override async release(): Promise<void> {
    for (const slab of this.#slabs) this.reactor.io.slabs.release(slab);
    this.#slabs.length = 0;
  }

  #perform(request: Request): Status {
    switch (request.operation) {
      case Operation.read:
        return this.#read(request);
      case Operation.write:
        return this.#write(request, 0);
      case Operation.flush:
        return Status.ok;
      case Operation.discard:
        return this.#zero(request, ChunkState.hole);
      case Operation.writeZeroes: {
        const keep = (request.flags & RequestFlag.noUnmap) !== 0;
        return this.#zero(request, keep ? ChunkState.zero : ChunkState.hole);
      }
      case Operation.compare:
        return this.#compare(request);
      case Operation.compareAndWrite: {
        const status = this.#compare(request);
        return status === Status.ok ? this.#write(request, request.length) : status;
      }
      case Operation.blockStatus:
        return this.#blockStatus(request);
      default:
        return unreachable(request.operation);
    }
  }

  // hot path
  #read(request: Request): Status {
    const { segments, length } = request;
    const lend = (request.flags & RequestFlag.mayLend) !== 0;
    if (lend) segments.clear();
    for (let done = 0; done < length; ) {
      const position = request.offset + done;
      const slab = this.#slabAt(position);
      const at = position % SLAB_BYTES_MAX;
      const taken = Math.min(length - done, SLAB_BYTES_MAX - at);
      if (lend) segments.push(slab.id, at, taken);
      else copyToSegments(this.reactor.io.slabs, segments, done, slab.bytes, at, taken);
      done += taken;
    }
    request.lent = lend;
    return Status.ok;
  }

  /** Writes the segments' bytes from `start` on. Hot path. */
  #write(request: Request, start: number): Status {
    const { segments, length, offset } = request;
    for (let done = 0; done < length; ) {
      const position = offset + done;
      const slab = this.#slabAt(position);
      const at = position % SLAB_BYTES_MAX;
      const taken = Math.min(length - done, SLAB_BYTES_MAX - at);
      copyFromSegments(this.reactor.io.slabs, segments, start + done, slab.bytes, at, taken);
      done += taken;
    }
    const last = Math.floor((offset + length - 1) / CHUNK_BYTES);
    for (let chunk = Math.floor(offset / CHUNK_BYTES); chunk <= last; chunk++) {
      this.#chunks[chunk] = ChunkState.data;
    }
    return Status.ok;
  }

  /** Zeroes the range, chunk by chunk; chunks known to be zero stay untouched memory. */
  #zero(request: Request, state: ChunkState): Status {
    const end = request.offset + request.length;
    for (let position = request.offset; position < end; ) {
      const chunk = Math.floor(position / CHUNK_BYTES);
      const chunkEnd = Math.min((chunk + 1) * CHUNK_BYTES, this.info.sizeBytes);
      const stop = Math.min(chunkEnd, end);
      const isWhole = position === chunk * CHUNK_BYTES && stop === chunkEnd;
      const isData = this.#chunks[chunk] === ChunkState.data;
      if (isData) {
        const at = position % SLAB_BYTES_MAX;
        this.#slabAt(position).bytes.fill(0, at, at + stop - position);
      }
      // Part of a zero chunk that is to be allocated makes all of it allocated: still zeroes.
      if (isWhole || (!isData && state === ChunkState.zero)) this.#chunks[chunk] = state;
      position = stop;
    }
    return Status.ok;
  }

  #compare(request: Request): Status {
    const { segments, length, offset } = request;
    for (let done = 0; done < length; ) {
      const slab = this.#slabAt(offset + done);
      const at = (offset + done) % SLAB_BYTES_MAX;
      const taken = Math.min(length - done, SLAB_BYTES_MAX - at);
      const slabs = this.reactor.io.slabs;
      const equal = compareSegments(slabs, segments, done, slab.bytes, at, taken);
      done += equal;
      if (equal < taken) {
        request.errorOffset = offset + done;
        return Status.compareFailed;
      }
    }
    return Status.ok;
  }

  #blockStatus(request: Request): Status {
    const extents = request.extents as ExtentList; // checked by submit
    const one = (request.flags & RequestFlag.oneExtent) !== 0;
    const end = request.offset + request.length;
    extents.clear();
    for (let position = request.offset; position < end; ) {
      const chunk = Math.floor(position / CHUNK_BYTES);
      const state = this.#chunks[chunk];
      let next = chunk + 1;
      while (next * CHUNK_BYTES < end && this.#chunks[next] === state) next++;
      const stop = Math.min(next * CHUNK_BYTES, end);
      extents.push(stop - position, FLAGS_BY_STATE[state as ChunkState] as number);
      if (one || extents.isFull) break;
      position = stop;
    }
    return Status.ok;
  }

  #slabAt(position: number): Slab {
    return this.#slabs[Math.floor(position / SLAB_BYTES_MAX)] as Slab;
  }
}

/** All slabs of the device, or none. */
function allocateAll(reactor: Reactor, sizeBytes: number): Slab[] {
  const slabs: Slab[] = [];
  try {
    for (let left = sizeBytes; left > 0; left -= SLAB_BYTES_MAX) {
      slabs.push(reactor.io.slabs.allocate(Math.min(left, SLAB_BYTES_MAX)));
    }
    return slabs;
  } catch (error) {
    for (const slab of slabs) reactor.io.slabs.release(slab);
    throw error;
  }
}

const MALLOC_OPERATIONS: OperationTable = {
  read: Support.native,
  write: Support.native,
  flush: Support.native,
  discard: Support.native,
  writeZeroes: Support.native,
  compare: Support.native,
  compareAndWrite: Support.native,
  blockStatus: Support.native,
};
