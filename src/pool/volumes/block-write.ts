/**
 * BlockWrite: consecutive blocks of a volume that get new content, and the pieces that it falls
 * into: one per run of blocks on a disk, each with a record of its own.
 *
 *   piece: taken --device write ended--> log --frame written--> applier --in the tree--> ended
 *
 * Both are pooled by their users; the DataWriter drives them.
 */

import type { SegmentList } from "../../block/segments.ts";
import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { LogEntry } from "../log/pool-log.ts";
import type { RecordSink } from "../log/log-record.ts";
import type { PageWaiter } from "../pages/page-cache.ts";
import { type Address, NO_ADDRESS } from "../pool-layout.ts";
import type { DataWriter } from "./data-writer.ts";
import type { AppliedEntry } from "./record-applier.ts";
import type { VolumeState } from "./volume-state.ts";

export interface BlockWriteOwner {
  /** In the turn, once, when all of it is in the tree or has failed: `write.status`. */
  blocksWritten(write: BlockWrite): void;
}

export class BlockWrite implements PageWaiter {
  nextWaiter: PageWaiter | null = null;
  /** In the writer's queue. */
  next: BlockWrite | null = null;
  owner: BlockWriteOwner | null = null;
  volume: VolumeState | null = null;
  /** Block of the volume. */
  first = 0;
  count = 0;
  /** The content: the list's bytes from `start` on. They do not change until it has ended. */
  segments: SegmentList | null = null;
  start = 0;
  /** For requests to disks. */
  flags = 0;
  stream = 0;
  status: Status = Status.ok;
  /** Blocks that pieces have been made for. */
  placed = 0;
  /** Pieces that have not ended. */
  pieces = 0;
  /** The writer will make no more pieces. */
  isPlaced = false;
  /** All blocks take the place of others, or have a reservation. */
  isReserved = false;
  readonly #writer: DataWriter;

  constructor(writer: DataWriter) {
    this.#writer = writer;
  }

  /** Hot path. */
  fill(
    owner: BlockWriteOwner,
    volume: VolumeState,
    first: number,
    count: number,
    segments: SegmentList,
    start: number,
  ): void {
    assert(count > 0 && this.pieces === 0, "a write has blocks and is used once at a time");
    this.owner = owner;
    this.volume = volume;
    this.first = first;
    this.count = count;
    this.segments = segments;
    this.start = start;
    this.status = Status.ok;
    this.placed = 0;
    this.isPlaced = false;
  }

  pageReady(): void {
    this.#writer.submit(this);
  }
}

/** Blocks of one run on a disk. */
export class WritePiece implements LogEntry, AppliedEntry {
  nextEntry: LogEntry | null = null;
  nextApplied: AppliedEntry | null = null;
  sequence = 0;
  /** In the list of its device write, of those that wait for the log, or of free ones. */
  next: WritePiece | null = null;
  write: BlockWrite | null = null;
  /** Block of the volume. */
  first = 0;
  count = 0;
  address: Address = NO_ADDRESS;
  checksums = new Uint32Array(1);
  readonly #writer: DataWriter;

  constructor(writer: DataWriter) {
    this.#writer = writer;
  }

  // hot path
  logged(status: Status, sequence: number): void {
    this.#writer.pieceLogged(this, status, sequence);
  }

  // hot path
  applyTo(sink: RecordSink): boolean {
    return sink.write(this.#writer.recordOf(this), this.sequence);
  }

  // hot path
  applied(): void {
    this.#writer.pieceApplied(this);
  }
}
