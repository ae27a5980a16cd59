/**
 * RecordCall: one record that somebody waits for by a promise: objects and properties.
 *
 *   run --(held)--> room for pages --> log --written--> applied --(flush)--> settled, outside of
 *     the turn
 */

import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { RecordSink } from "../log/log-record.ts";
import type { LogEntry, PoolLog } from "../log/pool-log.ts";
import type { PageRoomWaiter } from "../pages/page-cache.ts";
import type { FlushWaiter, LogWaiter } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import type { AppliedEntry } from "./record-applier.ts";

/** What is kept still from before the record is logged until it is applied. */
export interface RecordHold {
  /** @param entered once, in the turn, perhaps before this returns */
  enter(entered: () => void): void;
  leave(): void;
}

/** A record: how it is logged, and what it does. */
export interface RecordContent {
  readonly hold?: RecordHold;
  /** Blocks that it maps or frees, at most; default 0. */
  readonly blocks?: number;
  log(log: PoolLog, entry: LogEntry): boolean;
  /** @param sequence of its frame */
  apply(sink: RecordSink, sequence: number): boolean;
}

export class RecordCall implements LogEntry, AppliedEntry, PageRoomWaiter, LogWaiter, FlushWaiter {
  nextEntry: LogEntry | null = null;
  nextApplied: AppliedEntry | null = null;
  nextRoom: PageRoomWaiter | null = null;
  nextLog: LogWaiter | null = null;
  nextFlush: FlushWaiter | null = null;
  sequence = 0;
  readonly #parts: PoolParts;
  readonly #content: RecordContent;
  readonly #isDurable: boolean;
  readonly #blocks: number;
  #isHolding = false;
  #resolve: ((status: Status) => void) | null = null;

  /** @param isDurable flushed before it settles */
  constructor(parts: PoolParts, content: RecordContent, isDurable: boolean) {
    this.#parts = parts;
    this.#content = content;
    this.#isDurable = isDurable;
    this.#blocks = content.blocks ?? 0;
  }

  /** Once. Settles with the status, never rejects. */
  run(): Promise<Status> {
    return new Promise((resolve) => {
      assert(this.#resolve === null, "a call is made once");
      this.#resolve = resolve;
      const { hold } = this.#content;
      // Before room is taken: who is to end first may get none beside it.
      if (hold === undefined) this.pagesMayBeThere();
      else hold.enter(() => this.#held());
    });
  }

  pagesMayBeThere(): void {
    const { cache, disks } = this.#parts;
    if (disks.fault !== Status.ok) this.#end(Status.mediaError);
    else if (cache.admit(this.#blocks)) this.roomInLog();
    else cache.waitForPages(this);
  }

  roomInLog(): void {
    const { log } = this.#parts;
    if (!this.#content.log(log, this)) log.waitForRoom(this);
  }

  logged(status: Status, sequence: number): void {
    if (status === Status.ok) {
      this.#parts.applier.enqueue(this, sequence);
      return;
    }
    this.#parts.cache.applied(this.#blocks);
    this.#end(status);
  }

  applyTo(sink: RecordSink): boolean {
    return this.#content.apply(sink, this.sequence);
  }

  applied(): void {
    this.#parts.cache.applied(this.#blocks);
    this.#leave();
    if (this.#isDurable) this.#parts.log.flush(this);
    else this.#end(this.#parts.disks.fault);
  }

  flushEnded(status: Status): void {
    this.#end(status);
  }

  #held(): void {
    this.#isHolding = true;
    this.pagesMayBeThere();
  }

  #leave(): void {
    if (!this.#isHolding) return;
    this.#isHolding = false;
    this.#content.hold?.leave();
  }

  #end(status: Status): void {
    this.#leave();
    const resolve = this.#resolve;
    assert(resolve !== null, "a call ends once");
    this.#resolve = null;
    this.#parts.environment.reactor.deliverLater(() => resolve(status));
  }
}
