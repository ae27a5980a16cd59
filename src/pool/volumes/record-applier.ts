/**
 * RecordApplier: the only one who changes mapping trees and objects, live and in replay.
 *
 *   logged --enqueue--> queue --all pages there--> applied, in log order
 *                         +--a page is missing--> waits for it, all behind it wait too
 *
 * What a record replaces goes to `SpaceMap.free` with the sequence of its frame. A record that
 * waited in the middle is applied again from its start: what was done is seen in the tree (a
 * mapping to the record's own address can only be its own).
 */

import { assert } from "../../util/assert.ts";
import type { RecordSink, WriteRecord } from "../log/log-record.ts";
import type { PageCache, PageWaiter } from "../pages/page-cache.ts";
import type { SpaceMap } from "../space/space-map.ts";
import type { ChecksumKind } from "./block-checksum.ts";
import type { Catalogue } from "./catalogue.ts";

/** A record on its way from its written frame into the trees. */
export interface AppliedEntry {
  nextApplied: AppliedEntry | null;
  /** Of its frame; set by `enqueue`. */
  sequence: number;
  /**
   * Calls one method of the sink, with `sequence`.
   * @returns false: a page is missing, called again when it is there
   */
  applyTo(sink: RecordSink): boolean;
  /** Reads see it now: the place to acknowledge. */
  applied(): void;
}

export interface RecordApplierOptions {
  readonly catalogue: Catalogue;
  readonly cache: PageCache;
  readonly space: SpaceMap;
  /** Of the pool: entries without one say so. */
  readonly checksum: ChecksumKind;
}

export class RecordApplier implements RecordSink {
  /** Of the last record that was applied. */
  appliedSequence = 0;

  // biome-ignore lint/complexity/noUselessConstructor: written next
  constructor(_options: RecordApplierOptions) {}

  /** By `LogEntry.logged` only, in log order. Applied at once unless one before it waits. */
  enqueue(_entry: AppliedEntry, _sequence: number): void {
    assert(false, "not written yet");
  }

  /** Calls when nothing waits: at once, else later. */
  whenDrained(_drained: () => void): void {
    assert(false, "not written yet");
  }

  write(_record: WriteRecord, _sequence: number): boolean {
    assert(false, "not written yet");
  }

  unmap(
    _objectId: number,
    _first: number,
    _count: number,
    _punch: boolean,
    _sequence: number,
  ): boolean {
    assert(false, "not written yet");
  }

  object(_record: Uint32Array, _at: number): boolean {
    assert(false, "not written yet");
  }

  objectGone(_objectId: number): boolean {
    assert(false, "not written yet");
  }

  properties(_objectId: number, _bytes: Uint8Array): boolean {
    assert(false, "not written yet");
  }

  /** After a sink method said false: `waiter` is called when trying again makes sense. */
  waitFor(_waiter: PageWaiter): void {
    assert(false, "not written yet");
  }
}
