/** PoolLog: writes records into the ring, frame by frame. */

import type { ReusePipeline } from "../space/reuse-pipeline.ts";
import type { FlushWaiter, LogWaiter } from "../pool-layout.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import type { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { RingPlace } from "./log-ring.ts";
import type { WriteRecord } from "./log-record.ts";

/** One record on its way: of one call of PoolLog, until `logged`. */
export interface LogEntry {
  nextEntry: LogEntry | null;
  /** In log order, when the frame is written, or has failed: then the pool is faulted. */
  logged(status: Status, sequence: number): void;
}

/** Where an import begins to read. */
export interface ReplayStart {
  readonly sequence: number;
  /** Units from the ring's start. */
  readonly position: number;
  readonly prevCrc: number;
}

export interface PoolLogOptions {
  readonly reactor: Reactor;
  readonly disks: PoolDisks;
  readonly reuse: ReusePipeline;
  readonly poolUuid: string;
  readonly ring: RingPlace;
}

/** What a session begins with. */
export interface LogSession extends ReplayStart {
  /** 16 hex digits. */
  readonly session: string;
  /** Of the label that is durable. */
  readonly generation: number;
}

export class PoolLog {
  /** Of the last frame that is in the ring. */
  writtenSequence = 0;
  /** Of the last frame that is known to be on stable media, with all before it. */
  durableSequence = 0;
  /** A checkpoint would make room. */
  onCheckpointWanted: ((reason: string) => void) | null = null;

  // biome-ignore lint/complexity/noUselessConstructor: written next
  constructor(_options: PoolLogOptions) {}

  /** Records that an import would replay now. */
  recordCount = 0;

  /** Begins a session: before that nothing can be logged. */
  open(_session: LogSession): void {
    assert(false, "not written yet");
  }

  /**
   * Each puts one record into the open frame, and `entry` is told when that is written.
   * @returns false: there is no room, `waitForRoom`
   */
  write(_entry: LogEntry, _record: WriteRecord): boolean {
    assert(false, "not written yet");
  }

  unmap(
    _entry: LogEntry,
    _objectId: number,
    _first: number,
    _count: number,
    _punch: boolean,
  ): boolean {
    assert(false, "not written yet");
  }

  /** 128 words from `at` on. */
  object(_entry: LogEntry, _record: Uint32Array, _at: number): boolean {
    assert(false, "not written yet");
  }

  objectGone(_entry: LogEntry, _objectId: number): boolean {
    assert(false, "not written yet");
  }

  properties(_entry: LogEntry, _objectId: number, _bytes: Uint8Array): boolean {
    assert(false, "not written yet");
  }

  waitForRoom(_waiter: LogWaiter): void {
    assert(false, "not written yet");
  }

  /** Format F: sync, mark, then the frame that carries the mark. */
  flush(_waiter: FlushWaiter): void {
    assert(false, "not written yet");
  }

  /** Calls when no frame is being written; none begins until `resume`. */
  hold(_held: () => void): void {
    assert(false, "not written yet");
  }

  resume(): void {
    assert(false, "not written yet");
  }

  /** The next frame: while held. */
  startOfReplay(): ReplayStart {
    assert(false, "not written yet");
  }

  /** The label that says so is durable: frames up to this are not needed any more. */
  releaseThrough(_sequence: number, _generation: number): void {
    assert(false, "not written yet");
  }
}
