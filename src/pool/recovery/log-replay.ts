/**
 * LogReplay: applies the records of a log to a RecordSink, in their order.
 *
 *   look at all (nothing changes) --> protect what they name --> apply, page by page as it comes
 *
 * Where the page cache gets full, its pages are written early, to blocks that neither the label
 * nor the log knows of; no label refers to them before the import's checkpoint.
 *
 * spec: docs/internals/pool-format.md, The order of things, I
 */

import { Status, statusName } from "../../block/status.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { PenstockError } from "../../util/errors.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import { FRAME_HEADER_BYTES } from "../log/log-frame.ts";
import { RecordReader, RecordType, type RecordSink, type WriteRecord } from "../log/log-record.ts";
import type { FoundFrame } from "../log/log-scan.ts";
import type { PageCache } from "../pages/page-cache.ts";
import type { PageTree } from "../pages/page-tree.ts";
import type { SpaceMap } from "../space/space-map.ts";
import { CUT_BLOCKS_MAX } from "../volumes/version-cut.ts";
import { awaitCall, yieldTurn } from "./await-call.ts";
import type { MissingBlocks, TailWrite } from "./tail-check.ts";

/** Blocks of a volume that a write of the tail should have changed, and did not. */
export interface DroppedRange {
  readonly objectId: number;
  /** Block of the volume. */
  readonly first: number;
  readonly count: number;
}

export interface LogReplayOptions {
  readonly reactor: Reactor;
  readonly disks: PoolDisks;
  readonly cache: PageCache;
  readonly space: SpaceMap;
  readonly sink: RecordSink;
  /** The ring's. */
  readonly words: Uint32Array;
  readonly frames: readonly FoundFrame[];
  /** Where pages are asked for before their records come: the catalogue. */
  readonly trees: { byId(objectId: number): { readonly tree: PageTree } | undefined };
  /** Before pages are written early. @throws PenstockError: they must not be */
  readonly beforeWrites: () => Promise<void>;
  /** Nothing is written: all pages that change must find room in memory. */
  readonly isReadOnly: boolean;
}

/** Leaves of a mapping tree that an unmap's record may go through, as their writer admits them. */
const UNMAP_BLOCKS_MAX = 201;
/** So many records are applied before others get their turn. */
const BATCH_RECORDS = 1024;
const WORD_BYTES = 4;
/** Pages of so many records are asked for at once. */
const AHEAD_RECORDS = 32;
/** ... the pages above the leaves so many times before the records come, and then the leaves. */
const AHEAD_ROUNDS = 2;
/** How often, and how long, a record waits for room for its pages. */
const ROOM_ROUNDS_MAX = 20;
const ROOM_WAIT_MS = 50;

interface PlacedRecord {
  /** Word of the ring. */
  readonly at: number;
  readonly sequence: number;
}

interface ReadAhead {
  readonly records: Iterator<PlacedRecord>;
  /** Has the record that `records` gave last. */
  readonly reader: RecordReader;
}

export class LogReplay {
  readonly dropped: DroppedRange[] = [];
  readonly #options: LogReplayOptions;
  readonly #reader = new RecordReader();
  readonly #piece: WriteRecord = { ...this.#reader.write };
  readonly #key = new Uint32Array(1);

  constructor(options: LogReplayOptions) {
    this.#options = options;
  }

  /**
   * Looks at every record and changes nothing.
   * @throws PenstockError `pool-newer`, `log-damaged`
   */
  check(): void {
    const { disks } = this.#options;
    const { write } = this.#reader;
    for (const { sequence } of this.#records()) {
      if (this.#reader.type !== RecordType.write) continue;
      if (!disks.holds(write.address, write.count)) throw badRecord(sequence, RecordType.write);
    }
  }

  /** Writes of frames behind `mark`. */
  *tail(mark: number): Iterable<TailWrite> {
    const { write } = this.#reader;
    for (const { at, sequence } of this.#records()) {
      if (sequence <= mark || this.#reader.type !== RecordType.write) continue;
      const { address, count, checksums, checksumsAt } = write;
      yield { at, address, count, checksums, checksumsAt };
    }
  }

  /** No page may be written to a block that the log names. After `check`. */
  protect(): void {
    const { space } = this.#options;
    const { write } = this.#reader;
    for (const _ of this.#records()) {
      if (this.#reader.type === RecordType.write) space.protect(write.address, write.count);
    }
  }

  /** After `protect`: what memory knows of the disks' space is put into its trees and written. */
  async foldSpace(): Promise<void> {
    const { reactor, space } = this.#options;
    do {
      const status = await awaitCall<Status>(reactor, (done) => space.prepareFold(done));
      if (status !== Status.ok) throw noRoom(`a map cannot be written: ${statusName(status)}`);
    } while (!space.fold());
    await this.#writeDirty();
  }

  /** After `protect`. @throws PenstockError `pool-faulted` when pages cannot be written */
  async apply(missing: MissingBlocks): Promise<void> {
    const { reactor } = this.#options;
    const ahead = Array.from({ length: AHEAD_ROUNDS }, (_, round) => this.#startAhead(round + 1));
    let count = 0;
    for (const { at, sequence } of this.#records()) {
      if (count % AHEAD_RECORDS === 0) for (const each of ahead) this.#askForPages(each);
      if (++count % BATCH_RECORDS === 0) await yieldTurn(reactor);
      const marks = missing.get(at);
      if (marks === undefined) await this.#applyOne(sequence);
      else await this.#applyRest(marks, sequence);
    }
  }

  /** Goes so many rounds before what is applied. */
  #startAhead(rounds: number): ReadAhead {
    const reader = new RecordReader();
    const ahead = { records: this.#records(reader)[Symbol.iterator](), reader };
    for (let round = 0; round < rounds; round++) this.#askForPages(ahead);
    return ahead;
  }

  /** Of the writes among the next records; nobody waits for them here. */
  #askForPages({ records, reader }: ReadAhead): void {
    const { trees } = this.#options;
    const { write } = reader;
    for (let count = 0; count < AHEAD_RECORDS && records.next().done !== true; count++) {
      if (reader.type !== RecordType.write) continue;
      this.#key[0] = write.first;
      trees.byId(write.objectId)?.tree.prefetch(this.#key, 1);
    }
  }

  /** All records; the reader has each while it is the current one. */
  *#records(reader: RecordReader = this.#reader): Iterable<PlacedRecord> {
    const { words, frames } = this.#options;
    for (const { header, at } of frames) {
      const start = (at + FRAME_HEADER_BYTES) / WORD_BYTES;
      const end = start + header.recordBytes / WORD_BYTES;
      for (let place = start; place < end; ) {
        const next = reader.read(words, place, end);
        if (next === "unknown") throw unknownRecord(header.sequence, words[place] ?? 0);
        if (next === "bad") throw badRecord(header.sequence, words[place] ?? 0);
        yield { at: place, sequence: header.sequence };
        place = next;
      }
    }
  }

  async #applyOne(sequence: number): Promise<void> {
    const { sink } = this.#options;
    const { type, objectId, first, count, end, punch, write } = this.#reader;
    switch (type) {
      case RecordType.write:
        return await this.#admitted(write.count, () => sink.write(write, sequence));
      case RecordType.unmap:
        return await this.#admitted(Math.min(count, UNMAP_BLOCKS_MAX), () =>
          sink.unmap(objectId, first, count, punch, sequence),
        );
      case RecordType.object:
        return await this.#admitted(0, () => sink.object(this.#reader.object, 0));
      case RecordType.objectGone:
        return await this.#admitted(0, () => sink.objectGone(objectId));
      case RecordType.properties:
        return await this.#admitted(0, () => sink.properties(objectId, this.#reader.properties));
      case RecordType.versions:
        return await this.#admitted(0, () => this.#applyVersions());
      case RecordType.cut:
        return await this.#admitted(CUT_BLOCKS_MAX, () => sink.cut(objectId, end, sequence));
      case RecordType.nothing:
        return;
      default:
        return type satisfies never;
    }
  }

  #applyVersions(): boolean {
    const { versions, versionsAt, count, advancesEpoch } = this.#reader;
    return this.#options.sink.versions(versions, versionsAt, count, advancesEpoch);
  }

  /** A write without those of its blocks that are not there. */
  async #applyRest(marks: Uint8Array, sequence: number): Promise<void> {
    const { sink } = this.#options;
    const { write } = this.#reader;
    const piece = this.#piece;
    for (let start = 0; start < write.count; ) {
      let end = start + 1;
      while (end < write.count && marks[end] === marks[start]) end++;
      const count = end - start;
      const first = write.first + start;
      if (marks[start] === 0) {
        const checksumsAt = write.checksumsAt + start;
        const address = write.address + start;
        Object.assign(piece, write, { first, count, address, checksumsAt });
        await this.#admitted(count, () => sink.write(piece, sequence));
      } else {
        this.dropped.push({ objectId: write.objectId, first, count });
      }
      start = end;
    }
  }

  /** Does one step with room for its pages, waiting for those that are missing. */
  async #admitted(blocks: number, step: () => boolean): Promise<void> {
    const { reactor, cache, sink } = this.#options;
    if (!cache.admit(blocks)) await this.#makeRoom(blocks);
    while (!step()) {
      await awaitCall<void>(reactor, (done) => sink.waitFor({ nextWaiter: null, pageReady: done }));
    }
    cache.applied(blocks);
  }

  /** Waits for blocks for pages, and writes what is dirty, so that pages can leave. */
  async #makeRoom(blocks: number): Promise<void> {
    const { cache } = this.#options;
    for (let round = 0; round < ROOM_ROUNDS_MAX; round++) {
      // At first a leaf of the space map may only be on its way.
      if (round % 2 === 1 && cache.dirtyCount > 0) await this.#writeDirty();
      await this.#roomMayBeThere();
      if (cache.admit(blocks)) return;
    }
    throw noRoom("the pool has no space for the pages that the log's replay needs");
  }

  async #writeDirty(): Promise<void> {
    const { reactor, cache, isReadOnly, beforeWrites } = this.#options;
    if (isReadOnly) throw noRoom("the page cache is too small to read this log into it");
    await beforeWrites();
    const frozen = cache.freeze();
    // By two, so that the import's label does not go to the slot of the label that counts now.
    cache.generation++;
    const status = await awaitCall<Status>(reactor, (done) => frozen.write(done));
    if (status !== Status.ok) throw noRoom(`pages cannot be written: ${statusName(status)}`);
  }

  /** ... or some time has passed. */
  #roomMayBeThere(): Promise<void> {
    const { reactor, cache } = this.#options;
    return awaitCall<void>(reactor, (done) => {
      const timer = reactor.clock.startTimer(ROOM_WAIT_MS, done);
      cache.waitForPages({
        nextRoom: null,
        pagesMayBeThere: () => {
          timer.cancel();
          done();
        },
      });
    });
  }
}

function noRoom(message: string): PenstockError {
  return new PenstockError({ code: "pool-faulted", message });
}

function unknownRecord(sequence: number, head: number): PenstockError {
  const type = head & 0xff;
  return new PenstockError({
    code: "pool-newer",
    message: `frame ${sequence} of the log has a record of type ${type}, of a newer Penstock`,
    details: { sequence, type },
  });
}

function badRecord(sequence: number, head: number): PenstockError {
  return new PenstockError({
    code: "log-damaged",
    message: `frame ${sequence} of the log has a record that makes no sense`,
    details: { sequence, type: head & 0xff },
  });
}
