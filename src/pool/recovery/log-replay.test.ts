// Replay into a sink that notes what it gets, and the tail's check.

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { Operation } from "../../block/operation.ts";
import { AwaitedRequest } from "../../block/awaited-request.ts";
import type { Device } from "../../block/device.ts";
import { Errno } from "../../reactor/errno.ts";
import { IoLevel } from "../../reactor/io.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { type TestReactor, withReactor } from "../../reactor/test-reactor.ts";
import { fileDisks } from "../../testing/pool-disks-rig.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import { emptyHeader, FRAME_HEADER_BYTES } from "../log/log-frame.ts";
import {
  OBJECT_WORDS,
  putCut,
  putNothing,
  putObject,
  putObjectGone,
  putProperties,
  putUnmap,
  putVersions,
  putWrite,
  type RecordSink,
  VERSION_WORDS,
  type WriteRecord,
} from "../log/log-record.ts";
import type { FoundFrame } from "../log/log-scan.ts";
import type { PageCache, PageWaiter } from "../pages/page-cache.ts";
import { addressOf, BLOCK_BYTES } from "../pool-layout.ts";
import type { SpaceMap } from "../space/space-map.ts";
import { blockChecksum } from "../volumes/block-checksum.ts";
import { CUT_BLOCKS_MAX } from "../volumes/version-cut.ts";
import { LogReplay } from "./log-replay.ts";
import { checkTail } from "./tail-check.ts";

/** Notes what it is given; says no to every third call, as if a page were missing. */
class NotingSink implements RecordSink {
  readonly notes: string[] = [];
  readonly #reactor: Reactor;
  #calls = 0;

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
  }

  write(record: WriteRecord, sequence: number): boolean {
    const { objectId, first, count, address, epoch, checksums, checksumsAt } = record;
    const sums = [...checksums.subarray(checksumsAt, checksumsAt + count)].join(",");
    return this.#note(
      `${sequence} write ${objectId} ${first}+${count} @${address} ${epoch} ${sums}`,
    );
  }

  unmap(objectId: number, first: number, count: number, punch: boolean, sequence: number): boolean {
    return this.#note(`${sequence} unmap ${objectId} ${first}+${count} ${punch}`);
  }

  object(record: Uint32Array, at: number): boolean {
    return this.#note(`object ${record[at]} ${record[at + OBJECT_WORDS - 2]}`);
  }

  objectGone(objectId: number): boolean {
    return this.#note(`gone ${objectId}`);
  }

  properties(objectId: number, bytes: Uint8Array): boolean {
    return this.#note(`properties ${objectId} ${Buffer.from(bytes).toString()}`);
  }

  versions(words: Uint32Array, at: number, count: number, advancesEpoch: boolean): boolean {
    const ids = Array.from({ length: count }, (_, index) => words[at + index * VERSION_WORDS]);
    return this.#note(`versions ${ids.join(",")} ${advancesEpoch}`);
  }

  cut(objectId: number, end: number, sequence: number): boolean {
    return this.#note(`${sequence} cut ${objectId} ${end}`);
  }

  waitFor(waiter: PageWaiter): void {
    this.#reactor.deliverLater(() => waiter.pageReady());
  }

  #note(text: string): boolean {
    if (++this.#calls % 3 === 0) return false;
    this.notes.push(text);
    return true;
  }
}

/** Room for everything; notes what is protected and what is admitted. */
class NotingRoom {
  readonly protected: string[] = [];
  admitted = 0;
  open = 0;
  readonly cache = {
    admit: (blocks: number) => {
      this.admitted += blocks;
      this.open++;
      return true;
    },
    applied: () => {
      this.open--;
    },
  } as unknown as PageCache;
  readonly space = {
    protect: (address: number, count: number) => this.protected.push(`${address}+${count}`),
  } as unknown as SpaceMap;
}

/** Frames of one place each, with these records. */
function ringOf(frames: readonly ((words: Uint32Array, at: number) => number)[][]) {
  const words = new Uint32Array(8192);
  const found: FoundFrame[] = [];
  let at = 0;
  for (const [index, records] of frames.entries()) {
    const start = at + FRAME_HEADER_BYTES / 4;
    let end = start;
    for (const put of records) end = put(words, end);
    const header = { ...emptyHeader(), sequence: 50 + index, recordBytes: (end - start) * 4 };
    found.push({ header, at: at * 4 });
    at = Math.ceil(end / 128) * 128;
  }
  return { words, frames: found };
}

function write(first: number, address: number, sums: readonly number[]) {
  const record = {
    objectId: 3,
    first,
    count: sums.length,
    address,
    epoch: 1,
    checksums: Uint32Array.from(sums),
    checksumsAt: 0,
  };
  return (words: Uint32Array, at: number) => putWrite(words, at, record);
}

function replayOf(
  { reactor }: TestReactor,
  disks: PoolDisks,
  frames: Parameters<typeof ringOf>[0],
) {
  const sink = new NotingSink(reactor);
  const room = new NotingRoom();
  const { cache, space } = room;
  const ring = ringOf(frames);
  const trees = { byId: () => undefined };
  const made = {
    reactor,
    disks,
    cache,
    space,
    sink,
    trees,
    isReadOnly: false,
    beforeWrites: () => Promise.resolve(),
  };
  const replay = new LogReplay({ ...made, ...ring });
  return { replay, sink, room };
}

function fake(body: (test: TestReactor) => Promise<void>): Promise<void> {
  return withReactor(IoLevel.fake, body);
}

const object = new Uint32Array(OBJECT_WORDS).fill(8, 1, OBJECT_WORDS - 1);
object[0] = 3;
const versions = new Uint32Array(2 * VERSION_WORDS);
versions[0] = 3;
versions[VERSION_WORDS] = 4;

test("LogReplay gives all records to the sink, in order, each once, with its sequence", () =>
  fake(async (place) => {
    const { disks } = await fileDisks(place.reactor, [64, 64]);
    const { replay, sink, room } = replayOf(place, disks, [
      [(words, at) => putObject(words, at, object, 0), write(7, 20, [11, 12])],
      [(words, at) => putNothing(words, at)],
      [
        write(9, addressOf(1, 5), [13]),
        (words, at) => putUnmap(words, at, 3, 0, 2 ** 32, true),
        (words, at) => putProperties(words, at, 3, Buffer.from("text")),
        (words, at) => putVersions(words, at, versions, 2, true),
        (words, at) => putCut(words, at, 3, 2 ** 32),
        (words, at) => putObjectGone(words, at, 3),
      ],
    ]);
    replay.check();
    replay.protect();
    deepStrictEqual(room.protected, ["20+2", `${addressOf(1, 5)}+1`]);
    await replay.apply(new Map());
    deepStrictEqual(sink.notes, [
      "object 3 8",
      "50 write 3 7+2 @20 1 11,12",
      `52 write 3 9+1 @${addressOf(1, 5)} 1 13`,
      "52 unmap 3 0+4294967296 true",
      "properties 3 text",
      "versions 3,4 true",
      "52 cut 3 4294967296",
      "gone 3",
    ]);
    deepStrictEqual(
      [room.admitted, room.open, replay.dropped],
      [2 + 1 + 201 + CUT_BLOCKS_MAX, 0, []],
    );
    await disks.close();
  }));

test("LogReplay leaves blocks out that are not there, and names them", () =>
  fake(async (place) => {
    const { disks } = await fileDisks(place.reactor, [64]);
    const { replay, sink } = replayOf(place, disks, [[write(100, 20, [1, 2, 3, 4, 5])]]);
    await replay.apply(new Map([[16, Uint8Array.of(1, 0, 0, 1, 0)]]));
    deepStrictEqual(sink.notes, ["50 write 3 101+2 @21 1 2,3", "50 write 3 104+1 @24 1 5"]);
    deepStrictEqual(replay.dropped, [
      { objectId: 3, first: 100, count: 1 },
      { objectId: 3, first: 103, count: 1 },
    ]);
    await disks.close();
  }));

test("LogReplay refuses unknown records, and such that name what is on no disk", () =>
  fake(async (place) => {
    const { disks } = await fileDisks(place.reactor, [64]);
    const refused: readonly [(words: Uint32Array, at: number) => number, string][] = [
      [(words, at) => putObjectGone(words, at, 1) - at + retype(words, at, 9), "pool-newer"],
      [(words, at) => putObjectGone(words, at, 1) - at + retype(words, at, 1), "log-damaged"],
      [write(0, 63, [1, 2]), "log-damaged"],
      [write(0, addressOf(1, 0), [1]), "log-damaged"],
    ];
    for (const [record, code] of refused) {
      const { replay } = replayOf(place, disks, [[write(0, 5, [1])], [record]]);
      throws(() => replay.check(), { code, message: /frame 51/ });
    }
    await disks.close();
  }));

/** The record at `at` is of another type. @returns `at` */
function retype(words: Uint32Array, at: number, type: number): number {
  words[at] = type;
  return at;
}

async function writeBlocks(reactor: Reactor, device: Device, block: number, values: number[]) {
  const slab = reactor.io.slabs.allocate(values.length * BLOCK_BYTES);
  for (const [index, value] of values.entries()) {
    slab.bytes.fill(value, index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
  }
  const request = new AwaitedRequest();
  const length = values.length * BLOCK_BYTES;
  request.segments.push(slab.id, 0, length);
  await request.run(device, { operation: Operation.write, offset: block * BLOCK_BYTES, length });
  reactor.io.slabs.release(slab);
}

test("checkTail finds the blocks behind the mark whose data is not there", () =>
  fake(async (place) => {
    const { reactor, world } = place;
    const { disks, devices } = await fileDisks(reactor, [256, 64]);
    const checksum = blockChecksum("xxh64");
    const sumOf = (value: number) => {
      return checksum.ofBytes(new Uint8Array(BLOCK_BYTES).fill(value), 0);
    };
    const [first, second] = devices as [Device, Device];
    const values = Array.from({ length: 100 }, (_, index) => index);
    await writeBlocks(reactor, first, 100, values);
    await writeBlocks(reactor, second, 7, [1, 2, 3]);
    const sums = values.map(sumOf);
    sums[40] = 1;
    sums[99] = 2;
    const { replay } = replayOf(place, disks, [
      [write(0, addressOf(1, 7), [9, 9, 9])],
      [write(0, addressOf(1, 7), [sumOf(1), sumOf(1), sumOf(3)])],
      [write(0, 100, sums), write(0, 220, [5])],
    ]);
    world?.disk().faults.inject({
      effect: { kind: "error", errno: Errno.EIO },
      path: "/disk0",
      operations: ["read"],
      range: { offset: 220 * BLOCK_BYTES, length: BLOCK_BYTES },
    });
    const missing = await checkTail({ reactor, disks, checksum }, replay.tail(50));
    const byPlace = [...missing].sort(([one], [other]) => one - other);
    const found = byPlace.map(([, marks]) =>
      [...marks.keys()].filter((index) => marks[index] === 1),
    );
    // The unreadable one counts as there; what is not behind the mark is not looked at.
    deepStrictEqual(found, [[1], [40, 99]]);
    strictEqual(missing.size, 2);
    ok([...missing.keys()].every((at) => at >= 128));
    await disks.close();
  }));
