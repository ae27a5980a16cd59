/**
 * VolumeTask: what a VolumeDevice keeps of a client's request while it works on it. Pooled.
 *
 *   write:        range --> old bytes of partial blocks --> new blocks --> (flush) --> ended
 *   compare...:   range --> compared piece by piece --> (as write) --> ended
 *   zeroes:       range --> partial blocks as write --> whole blocks unmapped, or written as
 *                 zeroes (no-unmap, thin) --> (flush) --> ended
 *   read, flush, block-status: at once
 *
 * It is its own entry in the volume's range table, rounded out to whole blocks. Reads do not enter
 * it, but while a compare-and-write is on its way: that is atomic against them, too.
 */

import { modifies } from "../../block/device.ts";
import { Operation, RequestFlag } from "../../block/operation.ts";
import type { Request } from "../../block/request.ts";
import { Status } from "../../block/status.ts";
import { assert, unreachable } from "../../util/assert.ts";
import { BLOCK_BYTES, type FlushWaiter } from "../pool-layout.ts";
import { BlockRead, type BlockReadOwner } from "./block-read.ts";
import { BlockWrite, type BlockWriteOwner } from "./block-write.ts";
import { type CompareOwner, CompareRun } from "./compare-run.ts";
import type { DataPath } from "./data-path.ts";
import { type ExtentOwner, ExtentWalk } from "./extent-walk.ts";
import { EdgeBlocks, type EdgeOwner } from "./partial-block.ts";
import { RangedRequest } from "./ranged-request.ts";
import { UnmapRun, type UnmapRunOwner } from "./unmap-steps.ts";
import type { VolumeState } from "./volume-state.ts";

/** Zeroes are written in such steps. */
const ZERO_STEP_BLOCKS = 256;

export interface TaskOwner {
  /** Once per `begin`. */
  taskEnded(task: VolumeTask, status: Status): void;
}

export class VolumeTask
  extends RangedRequest
  implements
    BlockReadOwner,
    BlockWriteOwner,
    CompareOwner,
    EdgeOwner,
    ExtentOwner,
    UnmapRunOwner,
    FlushWaiter
{
  nextFlush: FlushWaiter | null = null;
  /** In the owner's list. */
  nextFree: VolumeTask | null = null;
  /** The client's; null while free. */
  client: Request | null = null;
  readonly #path: DataPath;
  readonly #volume: VolumeState;
  readonly #owner: TaskOwner;
  readonly #read: BlockRead;
  readonly #write: BlockWrite;
  /** Made when first needed. */
  #edges: EdgeBlocks | null = null;
  #edgeWrites: BlockWrite[] = [];
  #compare: CompareRun | null = null;
  #walk: ExtentWalk | null = null;
  #unmap: UnmapRun | null = null;
  /** The edges have their buffer. */
  #hasEdges = false;
  /** Writes that have not ended. */
  #pending = 0;
  /** Blocks of the volume that are written wholly, or unmapped: [first, end). */
  #first = 0;
  #end = 0;
  /** Zeroes are written up to here. */
  #cursor = 0;
  #error: Status = Status.ok;
  #isInTable = false;

  constructor(path: DataPath, volume: VolumeState, owner: TaskOwner) {
    super();
    this.#path = path;
    this.#volume = volume;
    this.#owner = owner;
    this.#read = new BlockRead(path.reader);
    this.#write = new BlockWrite(path.writer);
  }

  /** Starts to work on `client`. Hot path. */
  begin(client: Request): void {
    const { operation, offset, length } = client;
    this.client = client;
    this.operation = operation;
    this.flags = client.flags & RequestFlag.background;
    this.stream = client.stream;
    this.#error = Status.ok;
    this.#isInTable = false;
    this.offset = Math.floor(offset / BLOCK_BYTES) * BLOCK_BYTES;
    this.length = Math.ceil((offset + length) / BLOCK_BYTES) * BLOCK_BYTES - this.offset;
    const { ranges } = this.#volume;
    if (modifies(operation)) {
      if (operation === Operation.compareAndWrite) this.#volume.atomicChanges++;
      this.#isInTable = true;
      if (ranges.enter(this)) this.rangeEntered();
    } else if (operation === Operation.flush || this.#volume.atomicChanges === 0) {
      this.rangeEntered();
    } else if (ranges.enterRead(this)) {
      this.rangeEntered();
    }
  }

  // hot path
  override rangeEntered(): void {
    const client = this.#live;
    const { operation } = client;
    if (operation === Operation.flush || modifies(operation)) {
      const { fault } = this.#path;
      if (fault !== Status.ok) {
        this.#finish(fault);
        return;
      }
    }
    switch (operation) {
      case Operation.read:
        this.#startRead(client);
        return;
      case Operation.flush:
        if (this.#path.parts.isReadOnly) this.#finish(Status.ok);
        else this.#path.parts.log.flush(this);
        return;
      case Operation.blockStatus:
        this.#walk ??= new ExtentWalk(this.#path.parts.cache, this);
        this.#walk.start(this.#volume, client);
        return;
      case Operation.compare:
      case Operation.compareAndWrite:
        this.#compare ??= new CompareRun(this.#path, this);
        this.#compare.start(this.#volume, client);
        return;
      case Operation.write:
      case Operation.writeZeroes:
      case Operation.discard:
        this.#change(client);
        return;
      default:
        unreachable(operation);
    }
  }

  // hot path
  blocksRead(read: BlockRead): void {
    this.#live.errorOffset = read.status === Status.ok ? -1 : read.errorOffset;
    this.#finish(read.status);
  }

  walked(status: Status): void {
    this.#finish(status);
  }

  compared(run: CompareRun): void {
    const client = this.#live;
    client.errorOffset = run.errorOffset;
    if (run.status !== Status.ok || client.operation === Operation.compare) {
      this.#finish(run.status);
      return;
    }
    this.#change(client);
  }

  edgesReady(edges: EdgeBlocks): void {
    if (edges.status !== Status.ok) {
      this.#live.errorOffset = edges.errorOffset;
      this.#finish(edges.status);
      return;
    }
    this.#writeBlocks();
  }

  // hot path
  blocksWritten(write: BlockWrite): void {
    if (write.status !== Status.ok && this.#error === Status.ok) this.#error = write.status;
    if (--this.#pending === 0) this.#written();
  }

  unmapped(run: UnmapRun): void {
    this.#changed(run.status);
  }

  flushEnded(status: Status): void {
    this.#finish(status);
  }

  get #live(): Request {
    assert(this.client !== null, "a task under way has its request");
    return this.client;
  }

  // hot path
  #startRead(client: Request): void {
    const { offset, length, segments } = client;
    const read = this.#read;
    read.flags = this.flags;
    read.stream = this.stream;
    read.fill(this, this.#volume, offset, length, segments, 0);
    this.#path.reader.start(read);
  }

  /** Bytes of the client's memory before those that are written. */
  get #dataStart(): number {
    const { operation, length } = this.#live;
    return operation === Operation.compareAndWrite ? length : 0;
  }

  get #isZeroes(): boolean {
    const { operation } = this.#live;
    return operation === Operation.writeZeroes || operation === Operation.discard;
  }

  // hot path
  #change(client: Request): void {
    const { offset } = client;
    let { length } = client;
    // Zeroes up to the volume's end take the rest of its last block along: nothing else is there.
    const reachesEnd = offset + length === this.#volume.sizeBytes;
    if (this.#isZeroes && reachesEnd) length = this.offset + this.length - offset;
    this.#first = Math.ceil(offset / BLOCK_BYTES);
    this.#end = Math.floor((offset + length) / BLOCK_BYTES);
    if (!EdgeBlocks.has(offset, length)) {
      this.#writeBlocks();
      return;
    }
    this.#edges ??= new EdgeBlocks(this.#path, this);
    this.#hasEdges = true;
    const data = this.#isZeroes ? null : client.segments;
    const { flags, stream } = this;
    const dataStart = this.#dataStart;
    this.#edges.start(this.#volume, { offset, length, data, dataStart, flags, stream });
  }

  /** Submits all blocks that are written; those of zeroes come later. Hot path. */
  #writeBlocks(): void {
    const client = this.#live;
    // One for this call: a write may end before it returns.
    this.#pending = 1;
    if (!this.#isZeroes && this.#end > this.#first) {
      const start = this.#dataStart + this.#first * BLOCK_BYTES - client.offset;
      const count = this.#end - this.#first;
      this.#submit(this.#write, this.#first, count, client.segments, start);
    }
    if (this.#hasEdges) this.#writeEdges();
    if (--this.#pending === 0) this.#written();
  }

  #writeEdges(): void {
    const edges = this.#edges as EdgeBlocks; // it is in use
    const mustWrite = !this.#isZeroes || this.#mustAllocate;
    for (const [index, block] of edges.blocks.entries()) {
      // Zeroes where nothing is mapped are there already.
      if (!mustWrite && edges.isMapped[index] !== true) continue;
      const write = this.#edgeWrites[index] ?? new BlockWrite(this.#path.writer);
      this.#edgeWrites[index] = write;
      this.#submit(write, block, 1, edges.segments, index * BLOCK_BYTES);
    }
  }

  // hot path
  #submit(
    write: BlockWrite,
    first: number,
    count: number,
    segments: Request["segments"],
    start: number,
  ): void {
    write.flags = this.flags;
    write.stream = this.stream;
    write.fill(this, this.#volume, first, count, segments, start);
    this.#pending++;
    this.#path.writer.submit(write);
  }

  /** All that was submitted is in the tree, or has failed. Hot path. */
  #written(): void {
    if (this.#hasEdges) {
      this.#hasEdges = false;
      this.#edges?.release();
    }
    if (this.#error !== Status.ok || !this.#isZeroes || this.#end <= this.#first) {
      this.#changed(this.#error);
      return;
    }
    if (this.#mustAllocate) {
      this.#cursor = Math.max(this.#cursor, this.#first);
      this.#writeZeroes();
      return;
    }
    this.#unmap ??= new UnmapRun(this.#path.parts, this);
    this.#unmap.start(this.#volume, this.#first, this.#end, true);
  }

  /** Space of a thick volume is its own, mapped or not. */
  get #mustAllocate(): boolean {
    const { operation, flags } = this.#live;
    const keeps = operation === Operation.writeZeroes && (flags & RequestFlag.noUnmap) !== 0;
    return keeps && this.#volume.isThin;
  }

  #writeZeroes(): void {
    const count = Math.min(this.#end - this.#cursor, ZERO_STEP_BLOCKS);
    if (count <= 0) {
      this.#changed(Status.ok);
      return;
    }
    const first = this.#cursor;
    this.#cursor += count;
    this.#submit(this.#write, first, count, this.#path.zeroes, 0);
  }

  /** The change is in the tree, or has failed. Hot path. */
  #changed(status: Status): void {
    const isDurable = (this.#live.flags & RequestFlag.fua) !== 0;
    if (status === Status.ok && isDurable) this.#path.parts.log.flush(this);
    else this.#finish(status);
  }

  // hot path
  #finish(status: Status): void {
    const { operation } = this.#live;
    if (this.#hasEdges) {
      this.#hasEdges = false;
      this.#edges?.release();
    }
    this.#cursor = 0;
    if (operation === Operation.compareAndWrite) this.#volume.atomicChanges--;
    if (this.#isInTable) this.#volume.ranges.leave(this);
    this.#owner.taskEnded(this, status);
  }
}
