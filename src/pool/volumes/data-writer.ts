/**
 * DataWriter: puts new content of blocks onto disks and into the log, of all volumes of a pool.
 *
 *   submit --its leaf is there--> queue --turn's end: room, blocks--> pieces, merged where they are
 *     consecutive --device write ended--> log --> applier --> owner
 *
 * The queue is first come, first served: who waits for space or pages keeps its place, and all
 * behind it wait too. A merged write that failed is tried again piece by piece, so that one bad
 * place fails one client. Blocks of a piece that was never logged are given back.
 */

import { Operation } from "../../block/operation.ts";
import { SEGMENT_COUNT_MAX } from "../../block/segments.ts";
import { Status, statusName } from "../../block/status.ts";
import type { Flushable } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import type { DiskRequest, DiskRequestOwner } from "../disks/disk-request.ts";
import type { WriteRecord } from "../log/log-record.ts";
import type { PageRoomWaiter } from "../pages/page-cache.ts";
import { FAILED, MISSING } from "../pages/page-tree.ts";
import {
  BLOCK_BYTES,
  diskOf,
  type FlushWaiter,
  type LogWaiter,
  NO_ADDRESS,
  type SpaceWaiter,
} from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import type { TakenRun, TakeResult } from "../space/space-map.ts";
import { type BlockWrite, WritePiece } from "./block-write.ts";
import { MappingWord } from "./volume-state.ts";

/** After these a write may still reach the disk. */
const UNKNOWN_OUTCOMES: readonly Status[] = [Status.pathLost, Status.timeout, Status.aborted];

export class DataWriter
  implements Flushable, DiskRequestOwner, PageRoomWaiter, SpaceWaiter, LogWaiter, FlushWaiter
{
  isDirty = false;
  nextRoom: PageRoomWaiter | null = null;
  nextSpace: SpaceWaiter | null = null;
  nextLog: LogWaiter | null = null;
  nextFlush: FlushWaiter | null = null;
  /** Writes submitted and not ended. */
  inFlight = 0;
  /** Of one request to a disk. */
  blocksMax: number;
  readonly #parts: PoolParts;
  readonly #taken: TakenRun = { address: NO_ADDRESS, count: 0 };
  readonly #record: WriteRecord;
  #first: BlockWrite | null = null;
  #last: BlockWrite | null = null;
  /** The first in the queue waits for pages or space: who has them calls. */
  #isWaiting = false;
  /** Blocks that the next piece of the first in the queue was admitted for. */
  #admitted = 0;
  /** A flush of the writer's own is under way. */
  #isFlushing = false;
  /** Blocks of pieces under way that take the place of others. */
  #replacing = 0;
  /** The first in the queue waits until one of those has. */
  #awaitsReplaced = false;
  /** The device write that pieces still join. */
  #open: DiskRequest | null = null;
  #openAddress = NO_ADDRESS;
  #openBlocks = 0;
  #openLast: WritePiece | null = null;
  /** Pieces that wait for room in the log. */
  #unlogged: WritePiece | null = null;
  #unloggedLast: WritePiece | null = null;
  #freePiece: WritePiece | null = null;

  constructor(parts: PoolParts, blocksMax: number) {
    this.#parts = parts;
    this.blocksMax = blocksMax;
    this.#record = {
      objectId: 0,
      first: 0,
      count: 0,
      address: NO_ADDRESS,
      epoch: 0,
      checksums: new Uint32Array(0),
      checksumsAt: 0,
    };
  }

  /** Starts a filled write; also when its page has come. Hot path. */
  submit(write: BlockWrite): void {
    const own = this.#look(write);
    if (own === MISSING) return;
    this.inFlight++;
    if (own === FAILED) {
      write.status = Status.mediaError;
      write.isPlaced = true;
      this.#endWrite(write);
      return;
    }
    const { isThin } = volumeOf(write);
    write.isReserved = !isThin || own === write.count;
    write.next = null;
    if (this.#last === null) this.#first = write;
    else this.#last.next = write;
    this.#last = write;
    if (!this.#isWaiting) this.#parts.environment.reactor.markDirty(this);
  }

  /** At the end of the turn. Hot path. */
  flush(): void {
    if (this.#isWaiting) return;
    for (let write = this.#first; write !== null; write = this.#first) {
      if (!this.#place(write)) break;
      this.#first = write.next;
      if (this.#first === null) this.#last = null;
      write.next = null;
      write.isPlaced = true;
      if (write.pieces === 0) this.#endWrite(write);
    }
    this.#submitOpen();
  }

  pagesMayBeThere(): void {
    this.#goOn();
  }

  spaceMayBeThere(): void {
    this.#goOn();
  }

  flushEnded(status: Status): void {
    this.#isFlushing = false;
    if (status !== Status.ok) this.#goOn();
  }

  // hot path
  diskRequestEnded(request: DiskRequest): void {
    const { status } = request;
    let piece = request.item as WritePiece | null; // the pieces that it wrote
    this.#parts.disks.give(request);
    const isMerged = piece !== null && piece.next !== null;
    while (piece !== null) {
      const { next }: WritePiece = piece;
      piece.next = null;
      if (status === Status.ok) this.#log(piece);
      else if (isMerged) this.#writeAlone(piece);
      else this.#unwritten(piece, status);
      piece = next;
    }
  }

  roomInLog(): void {
    for (let piece = this.#unlogged; piece !== null; piece = this.#unlogged) {
      if (!this.#parts.log.write(piece, this.recordOf(piece))) {
        this.#parts.log.waitForRoom(this);
        return;
      }
      this.#unlogged = piece.next;
      if (this.#unlogged === null) this.#unloggedLast = null;
      piece.next = null;
    }
  }

  // hot path
  recordOf(piece: WritePiece): WriteRecord {
    const record = this.#record;
    record.objectId = volumeOf(writeOf(piece)).id;
    record.epoch = this.#parts.cache.epoch;
    record.first = piece.first;
    record.count = piece.count;
    record.address = piece.address;
    record.checksums = piece.checksums;
    return record;
  }

  // hot path
  pieceLogged(piece: WritePiece, status: Status, sequence: number): void {
    if (status === Status.ok) {
      this.#parts.applier.enqueue(piece, sequence);
      return;
    }
    // The pool is faulted: its blocks may be named by a frame, so nobody gets them.
    this.#parts.cache.applied(piece.count);
    this.#endPiece(piece, status);
  }

  // hot path
  pieceApplied(piece: WritePiece): void {
    this.#parts.cache.applied(piece.count);
    // It may have been left out: then the pool is faulted.
    this.#endPiece(piece, this.#parts.disks.fault);
  }

  /**
   * Whether the leaves of all blocks are there, else one is asked for.
   * @returns how many of the blocks give way to what is written: mapped, and not the origin's;
   *   MISSING; FAILED. Hot path.
   */
  #look(write: BlockWrite): number {
    const { tree } = volumeOf(write);
    const { words } = this.#parts.cache;
    let own = 0;
    for (let index = 0; index < write.count; index++) {
      const key = write.first + index;
      const at = tree.find(key);
      if (at >= 0) {
        if (tree.sharing.ownsEntry(words[at + MappingWord.epoch] as number, key)) own++;
      } else if (at === FAILED) return FAILED;
      else if (at === MISSING) {
        tree.load(key, write);
        return MISSING;
      }
    }
    return own;
  }

  /** Makes the rest of a write's pieces. False: it waits, and keeps its place. Hot path. */
  #place(write: BlockWrite): boolean {
    const { cache, space, disks } = this.#parts;
    while (write.placed < write.count) {
      if (disks.fault !== Status.ok) {
        this.#giveAdmitted(0);
        write.status = Status.mediaError;
        return true;
      }
      const wanted = Math.min(write.count - write.placed, this.blocksMax);
      if (this.#admitted === 0) {
        if (!cache.admit(wanted)) {
          this.#isWaiting = true;
          cache.waitForPages(this);
          return false;
        }
        this.#admitted = wanted;
      }
      const answer = this.#take(wanted, write.isReserved);
      if (answer === "wait") {
        this.#isWaiting = true;
        space.waitForSpace(this);
        this.#askForFlush();
        return false;
      }
      if (answer === "no-space") {
        if (write.isReserved && this.#replacing > 0) {
          this.#isWaiting = true;
          this.#awaitsReplaced = true;
          return false;
        }
        this.#giveAdmitted(0);
        write.status = Status.noSpace;
        return true;
      }
      this.#giveAdmitted(this.#taken.count);
      this.#addPiece(write, this.#taken);
    }
    return true;
  }

  /** As many of the blocks as there are, if there are not all. Hot path. */
  #take(wanted: number, isReserved: boolean): TakeResult {
    const { space } = this.#parts;
    for (let count = wanted; ; count = Math.ceil(count / 2)) {
      const answer = space.take(count, this.#taken, isReserved);
      if (answer !== "no-space" || count === 1) return answer;
    }
  }

  /** A piece of `used` blocks has what was admitted for it; the rest goes back. Hot path. */
  #giveAdmitted(used: number): void {
    const admitted = this.#admitted;
    this.#admitted = 0;
    if (used === admitted || admitted === 0) return;
    const { cache } = this.#parts;
    if (used > 0) cache.admitLess(admitted, used);
    else cache.applied(admitted);
  }

  #addPiece(write: BlockWrite, { address, count }: TakenRun): void {
    const piece = this.#freePiece ?? new WritePiece(this);
    this.#freePiece = piece.next;
    piece.next = null;
    piece.write = write;
    piece.first = write.first + write.placed;
    piece.count = count;
    piece.address = address;
    this.#checksum(piece);
    write.placed += count;
    write.pieces++;
    if (write.isReserved) this.#replacing += count;
    this.#join(piece);
  }

  // hot path
  #checksum(piece: WritePiece): void {
    const { checksum, environment } = this.#parts;
    const { slabs } = environment.reactor.io;
    const write = writeOf(piece);
    const segments = segmentsOf(write);
    if (piece.checksums.length < piece.count) piece.checksums = new Uint32Array(piece.count);
    const start = write.start + (piece.first - write.first) * BLOCK_BYTES;
    for (let index = 0; index < piece.count; index++) {
      const at = start + index * BLOCK_BYTES;
      piece.checksums[index] = checksum.ofSegments(slabs, segments, at);
    }
  }

  /** Adds the piece to the open device write, or opens another. Hot path. */
  #join(piece: WritePiece): void {
    const write = writeOf(piece);
    const segments = segmentsOf(write);
    const isNext = piece.address === this.#openAddress + this.#openBlocks;
    const isShort = this.#openBlocks + piece.count <= this.blocksMax;
    let request = this.#open;
    if (request !== null) {
      const count = request.segments.count + segments.count;
      const isLike = request.flags === write.flags;
      if (!isNext || !isShort || !isLike || count > SEGMENT_COUNT_MAX) {
        this.#submitOpen();
        request = null;
      }
    }
    if (request === null) {
      request = this.#requestFor(piece);
      this.#open = request;
      this.#openAddress = piece.address;
      this.#openBlocks = 0;
    } else {
      (this.#openLast as WritePiece).next = piece; // an open write has pieces
    }
    this.#openLast = piece;
    this.#openBlocks += piece.count;
    appendData(piece, request);
  }

  // hot path
  #submitOpen(): void {
    const request = this.#open;
    if (request === null) return;
    this.#open = null;
    this.#openLast = null;
    this.#parts.disks.submit(request, this.#openAddress, this.#openBlocks);
  }

  #requestFor(piece: WritePiece): DiskRequest {
    const write = writeOf(piece);
    const request = this.#parts.disks.take(this);
    request.operation = Operation.write;
    request.flags = write.flags;
    request.stream = write.stream;
    request.item = piece;
    return request;
  }

  #writeAlone(piece: WritePiece): void {
    const request = this.#requestFor(piece);
    appendData(piece, request);
    this.#parts.disks.submit(request, piece.address, piece.count);
  }

  /** Its data could not be written. */
  #unwritten(piece: WritePiece, status: Status): void {
    const { cache, space, disks } = this.#parts;
    cache.applied(piece.count);
    if (UNKNOWN_OUTCOMES.includes(status)) {
      // It may still land there: nobody gets the blocks before the disk has been opened anew.
      const { name } = disks.at(diskOf(piece.address)).device.info;
      const reason = `disk ${name} does not say whether it has written: ${statusName(status)}`;
      disks.raise({ status, reason, isSync: false });
    } else {
      space.giveBack(piece.address, piece.count);
    }
    this.#endPiece(piece, status);
  }

  // hot path
  #log(piece: WritePiece): void {
    const { log } = this.#parts;
    const isNext = this.#unlogged === null;
    if (isNext && log.write(piece, this.recordOf(piece))) return;
    if (this.#unloggedLast === null) this.#unlogged = piece;
    else this.#unloggedLast.next = piece;
    this.#unloggedLast = piece;
    if (isNext) log.waitForRoom(this);
  }

  // hot path
  #endPiece(piece: WritePiece, status: Status): void {
    const write = writeOf(piece);
    if (status !== Status.ok && write.status === Status.ok) write.status = status;
    if (write.isReserved) this.#replacing -= piece.count;
    piece.write = null;
    piece.next = this.#freePiece;
    this.#freePiece = piece;
    write.pieces--;
    if (write.isPlaced && write.pieces === 0) this.#endWrite(write);
    if (this.#awaitsReplaced) this.#goOn();
  }

  // hot path
  #endWrite(write: BlockWrite): void {
    const { owner } = write;
    assert(owner !== null, "a write ends once");
    write.owner = null;
    this.inFlight--;
    owner.blocksWritten(write);
  }

  /** The pool has a fault: who waits ends. */
  faulted(): void {
    this.#goOn();
  }

  /** Whatever the first in the queue waited for may be there. */
  #goOn(): void {
    this.#isWaiting = false;
    this.#awaitsReplaced = false;
    this.#parts.environment.reactor.markDirty(this);
  }

  /** Blocks that wait for reuse come back by a flush: one of the pool's own. */
  #askForFlush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    this.#parts.log.flush(this);
  }
}

/** The piece's bytes become the last of what the request writes. Hot path. */
function appendData(piece: WritePiece, request: DiskRequest): void {
  const write = writeOf(piece);
  const start = write.start + (piece.first - write.first) * BLOCK_BYTES;
  request.segments.appendRange(segmentsOf(write), start, piece.count * BLOCK_BYTES);
}

// hot path
function writeOf(piece: WritePiece): BlockWrite {
  assert(piece.write !== null, "a piece under way has its write");
  return piece.write;
}

// hot path
function volumeOf(write: BlockWrite): NonNullable<BlockWrite["volume"]> {
  assert(write.volume !== null, "a write under way has its volume");
  return write.volume;
}

// hot path
function segmentsOf(write: BlockWrite): NonNullable<BlockWrite["segments"]> {
  assert(write.segments !== null, "a write under way has its memory");
  return write.segments;
}
