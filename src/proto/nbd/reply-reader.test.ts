// Tests of the reply reader: any split gives the same answers, whatever does not add up is refused,
// and nothing that a server sends throws or writes outside of a read's memory.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { SegmentList } from "../../block/segments.ts";
import { BufferPool } from "../../reactor/buffer-pool.ts";
import { HeapSlabSpace } from "../../reactor/slab-space-heap.ts";
import { forLongRun } from "../../testing/long-run.ts";
import { Prng } from "../../util/prng.ts";
import { ChunkFlag, ChunkType, Command, NbdError } from "./constants.ts";
import { CommandTable } from "../stream/command-table.ts";
import { InitiatorCommand } from "./initiator-command.ts";
import {
  encodeBlockStatus,
  encodeBlockStatusExt,
  encodeError,
  encodeErrorOffset,
  encodeExtendedChunk,
  encodeExtent,
  encodeExtentExt,
  encodeOffsetData,
  encodeOffsetHole,
  encodeSimpleReply,
  encodeStructuredChunk,
} from "./pdu-reply.ts";
import { ReceiveWindow } from "../stream/receive-window.ts";
import { type ReplyForm, ReplyReader } from "./reply-reader.ts";

const CONTEXT = 5;
const CHANGED_RUNS = forLongRun(500, 10_000);
const MARGIN = 64;
const GUARD = 0xee;

const FORMS: Readonly<Record<"simple" | "structured" | "extended", ReplyForm>> = {
  simple: { structuredReplies: false, extendedHeaders: false, allocationContext: null },
  structured: { structuredReplies: true, extendedHeaders: false, allocationContext: CONTEXT },
  extended: { structuredReplies: true, extendedHeaders: true, allocationContext: CONTEXT },
};

class TestCommand extends InitiatorCommand {
  readonly extents: [length: number, flags: number][] = [];

  override extent(lengthBytes: number, flags: number): void {
    this.extents.push([lengthBytes, flags]);
  }
}

/** A reader with its commands, and a server's replies as bytes. */
class Rig {
  readonly slabs = new HeapSlabSpace();
  readonly memory = this.slabs.allocate(1024 * 1024);
  readonly form: ReplyForm;
  readonly commands: TestCommand[] = [];
  readonly answered: TestCommand[] = [];
  readonly reader: ReplyReader;
  readonly #table = new CommandTable<InitiatorCommand>(256, -1);
  readonly #window: ReceiveWindow;
  readonly #bytes = new Uint8Array(512 * 1024);
  readonly #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #memoryUsed = MARGIN;

  constructor(form: ReplyForm) {
    this.form = form;
    const pool = new BufferPool(this.slabs, { limitBytes: 4 * 1024 * 1024 });
    const buffer = pool.acquire(4096);
    ok(buffer !== null);
    this.#window = new ReceiveWindow(pool, buffer);
    this.memory.bytes.fill(GUARD);
    this.reader = new ReplyReader({
      slabs: this.slabs,
      window: this.#window,
      commands: this.#table,
      sink: {
        answered: (command) => {
          this.#table.remove(command);
          this.answered.push(command as TestCommand);
        },
      },
      form,
    });
  }

  add(kind: number, offset: number, length: number, segmentCount = 1): TestCommand {
    const command = new TestCommand();
    command.beginAttempt();
    command.command = kind;
    command.offset = offset;
    command.length = length;
    if (kind === Command.read) command.segments = this.#segments(length, segmentCount);
    this.#table.add(command);
    this.commands.push(command);
    return command;
  }

  /** What the memory of a read holds. */
  dataOf({ segments }: TestCommand): Buffer {
    const parts: Uint8Array[] = [];
    for (let index = 0; segments !== null && index < segments.count; index++) {
      const at = segments.offset(index);
      parts.push(this.memory.bytes.subarray(at, at + segments.length(index)));
    }
    return Buffer.concat(parts);
  }

  /** True when nothing outside of the reads' memory has been written. */
  get isGuardWhole(): boolean {
    const inside = new Uint8Array(this.memory.lengthBytes);
    for (const { segments } of this.commands) {
      for (let index = 0; segments !== null && index < segments.count; index++) {
        const at = segments.offset(index);
        inside.fill(1, at, at + segments.length(index));
      }
    }
    return this.memory.bytes.every((byte, at) => inside[at] === 1 || byte === GUARD);
  }

  simple(command: TestCommand, error: number, data: Uint8Array | null = null): this {
    this.#length += encodeSimpleReply(this.#view, this.#length, error, 0, command.cookie);
    return data === null ? this : this.raw(data);
  }

  chunk(command: TestCommand, type: number, flags: number, payload: Uint8Array): this {
    const { cookie, offset } = command;
    const at = this.#length;
    const bytes = payload.length;
    this.#length += this.form.extendedHeaders
      ? encodeExtendedChunk(
          this.#view,
          at,
          flags,
          type,
          0,
          cookie,
          (offset / 2 ** 32) | 0,
          offset | 0,
          bytes,
        )
      : encodeStructuredChunk(this.#view, at, flags, type, 0, cookie, bytes);
    return this.raw(payload);
  }

  data(command: TestCommand, start: number, data: Uint8Array, flags = 0): this {
    const head = payloadOf(8, (view) => encodeOffsetData(view, 0, command.offset + start));
    return this.chunk(command, ChunkType.offsetData, flags, Buffer.concat([head, data]));
  }

  /** Data of the ranges, one chunk each. */
  ranges(command: TestCommand, ...ranges: (readonly [start: number, length: number])[]): this {
    for (const [start, length] of ranges) this.data(command, start, new Uint8Array(length));
    return this;
  }

  hole(command: TestCommand, start: number, length: number, flags = 0): this {
    const hole = payloadOf(12, (view) => encodeOffsetHole(view, 0, command.offset + start, length));
    return this.chunk(command, ChunkType.offsetHole, flags, hole);
  }

  error(command: TestCommand, error: number, offset = -1, flags: number = ChunkFlag.done): this {
    const message = Buffer.from("what is wrong");
    const payload = payloadOf(64, (view) =>
      offset < 0
        ? encodeError(view, 0, error, message)
        : encodeErrorOffset(view, 0, error, offset, message),
    );
    const type = offset < 0 ? ChunkType.error : ChunkType.errorOffset;
    return this.chunk(command, type, flags, payload);
  }

  none(command: TestCommand): this {
    return this.chunk(command, ChunkType.none, ChunkFlag.done, new Uint8Array(0));
  }

  status(
    command: TestCommand,
    extents: readonly (readonly [number, number])[],
    id = CONTEXT,
  ): this {
    const { extendedHeaders } = this.form;
    const payload = payloadOf(1 << 16, (view) => {
      let at = extendedHeaders
        ? encodeBlockStatusExt(view, 0, id, extents.length)
        : encodeBlockStatus(view, 0, id);
      for (const [length, flags] of extents) {
        const encode = extendedHeaders ? encodeExtentExt : encodeExtent;
        at += encode(view, at, length, flags);
      }
      return at;
    });
    const type = extendedHeaders ? ChunkType.blockStatusExt : ChunkType.blockStatus;
    return this.chunk(command, type, ChunkFlag.done, payload);
  }

  raw(bytes: Uint8Array): this {
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  get replies(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Feeds `bytes` as a connection does, in pieces that `size` chooses. */
  feed(bytes: Uint8Array, size: () => number): string | null {
    for (let at = 0; at < bytes.length; ) {
      let left = Math.min(size(), bytes.length - at);
      const { dataLeft, dataAt, dataSegments } = this.reader;
      if (dataSegments !== null) {
        // In place, as a vectored receive does it: the data first, what follows into the window.
        const direct = Math.min(left, dataLeft);
        for (let index = 0; index < direct; index++) {
          this.#poke(dataSegments, dataAt + index, bytes[at + index] as number);
        }
        at += direct;
        left -= direct;
        if (left > 0) left = this.#fill(bytes, at, left);
        this.reader.received(direct);
      } else {
        left = this.#fill(bytes, at, left);
      }
      at += left;
      const violation = this.reader.read();
      if (violation !== null) return violation;
    }
    return null;
  }

  #fill(bytes: Uint8Array, at: number, length: number): number {
    ok(this.#window.prepare(this.reader.neededBytes));
    const taken = Math.min(length, this.#window.room);
    const { slab, offset } = this.#window.buffer;
    slab.bytes.set(bytes.subarray(at, at + taken), offset + this.#window.end);
    this.#window.received(taken);
    return taken;
  }

  #poke(segments: SegmentList, at: number, value: number): void {
    let skip = at;
    for (let index = 0; ; index++) {
      const length = segments.length(index);
      if (skip < length) {
        this.memory.bytes[segments.offset(index) + skip] = value;
        return;
      }
      skip -= length;
    }
  }

  #segments(length: number, count: number): SegmentList {
    const segments = new SegmentList();
    const each = Math.ceil(length / count);
    for (let left = length; left > 0; left -= each) {
      segments.push(this.memory.id, this.#memoryUsed, Math.min(each, left));
      this.#memoryUsed += each + MARGIN;
    }
    return segments;
  }
}

function payloadOf(capacity: number, write: (view: DataView) => number): Uint8Array {
  const bytes = new Uint8Array(capacity);
  return bytes.subarray(0, write(new DataView(bytes.buffer)));
}

function noise(prng: Prng, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  prng.fill(bytes);
  return bytes;
}

/** One session of every kind of reply; the same for the same seed. */
function session(form: keyof typeof FORMS, seed: number): Rig {
  const prng = new Prng(`session ${seed}`);
  const rig = new Rig(FORMS[form]);
  const far = 5 * 2 ** 32;
  const reads = [
    rig.add(Command.read, far, 20_000, 3),
    rig.add(Command.read, 4096, 512),
    rig.add(Command.read, 0, 9000, 2),
  ];
  const write = rig.add(Command.write, 0, 4096);
  const flush = rig.add(Command.flush, 0, 0);
  const [first, second, third] = reads as [TestCommand, TestCommand, TestCommand];
  if (form === "simple") {
    rig.simple(write, 0).simple(first, 0, noise(prng, 20_000)).simple(second, NbdError.eio);
    return rig.simple(flush, NbdError.enospc).simple(third, 0, noise(prng, 9000));
  }
  const status = rig.add(Command.blockStatus, 65_536, 100_000);
  rig.data(first, 15_000, noise(prng, 5000)).none(write).data(second, 0, noise(prng, 512), 1);
  rig.hole(first, 10_000, 5000).status(status, [
    [60_000, 0],
    [1, 3],
    [70_000, 2],
  ]);
  rig.data(first, 0, noise(prng, 9999)).error(flush, NbdError.eio);
  rig.data(third, 0, noise(prng, 100)).error(third, NbdError.eio, 100, 0).hole(third, 4096, 10);
  return rig.data(first, 9999, noise(prng, 1), ChunkFlag.done).error(third, NbdError.enomem, 50);
}

function outcome(rig: Rig): unknown {
  return rig.answered.map((command) => ({
    place: rig.commands.indexOf(command),
    error: command.error,
    errorOffset: command.errorOffset,
    extents: command.extents,
    data: command.error === 0 ? rig.dataOf(command).toString("hex") : "",
  }));
}

for (const form of Object.keys(FORMS) as (keyof typeof FORMS)[]) {
  test(`ReplyReader gives the same answers however ${form} replies are cut`, () => {
    const whole = session(form, 1);
    strictEqual(
      whole.feed(whole.replies, () => 1 << 20),
      null,
    );
    strictEqual(whole.answered.length, whole.commands.length);
    const expected = outcome(whole);
    for (const bytes of [1, 2, 3, 7, 19, 31, 64, 1000, 4096]) {
      const rig = session(form, 1);
      strictEqual(
        rig.feed(rig.replies, () => bytes),
        null,
      );
      deepStrictEqual(outcome(rig), expected, `pieces of ${bytes}`);
      ok(rig.isGuardWhole);
    }
    for (let seed = 0; seed < 60; seed++) {
      const prng = new Prng(`cut ${seed}`);
      const rig = session(form, 1);
      strictEqual(
        rig.feed(rig.replies, () => 1 + prng.below(3000)),
        null,
      );
      deepStrictEqual(outcome(rig), expected, `seed ${seed}`);
    }
  });

  test(`ReplyReader neither throws nor writes elsewhere when ${form} replies are changed`, () => {
    let refused = 0;
    for (let seed = 0; seed < CHANGED_RUNS; seed++) {
      const prng = new Prng(`change ${seed}`);
      const rig = session(form, 1);
      const bytes = rig.replies;
      for (let changes = 1 + prng.below(4); changes > 0; changes--) {
        // Headers lie at the beginning more often than not.
        const at = prng.below(prng.chance(0.7) ? 400 : bytes.length);
        bytes[at] = prng.chance(0.5)
          ? prng.below(256)
          : (bytes[at] as number) ^ (1 << prng.below(8));
      }
      const violation = rig.feed(bytes, () => 1 + prng.below(5000));
      if (violation !== null) refused++;
      ok(rig.answered.length <= rig.commands.length);
      if (seed % 20 === 0) ok(rig.isGuardWhole, `seed ${seed}`);
    }
    ok(refused > CHANGED_RUNS / 10, `${refused} refused`);
  });

  test(`ReplyReader refuses noise instead of ${form} replies`, () => {
    for (let seed = 0; seed < 300; seed++) {
      const prng = new Prng(`noise ${seed}`);
      const rig = session(form, 1);
      ok(rig.feed(noise(prng, 100), () => 1 + prng.below(50)) !== null);
      strictEqual(rig.answered.length, 0);
    }
  });
}

test("ReplyReader refuses what does not add up", () => {
  const read = (rig: Rig): TestCommand => rig.add(Command.read, 8192, 4096);
  const cases: readonly (readonly [words: RegExp, build: (rig: Rig) => unknown])[] = [
    [/not made/, (rig) => rig.none(new TestCommand())],
    [/came before/, (rig) => rig.ranges(read(rig), [0, 100], [50, 100])],
    [/came before/, (rig) => rig.ranges(read(rig), [100, 100], [0, 101])],
    [/where data came/, (rig) => withHole(rig, read(rig))],
    [/outside of the range/, (rig) => rig.ranges(read(rig), [4000, 97])],
    [/outside of the range/, (rig) => rig.ranges(read(rig), [-1, 5])],
    [/hole outside/, (rig) => rig.hole(read(rig), 4095, 2)],
    [/hole outside/, (rig) => rig.hole(read(rig), 0, 0)],
    [/before all of its data/, (rig) => rig.none(read(rig))],
    [/before all of its data/, (rig) => rig.data(read(rig), 1, new Uint8Array(4095), 1)],
    [/without data/, (rig) => rig.data(read(rig), 0, new Uint8Array(0), 1)],
    [/reads nothing/, (rig) => rig.data(rig.add(Command.write, 0, 512), 0, new Uint8Array(5))],
    [/reads nothing/, (rig) => rig.hole(rig.add(Command.flush, 0, 0), 0, 5)],
    [/structured one is due/, (rig) => rig.simple(read(rig), 0, new Uint8Array(4096))],
    [/chunk of type 99/, (rig) => rig.chunk(read(rig), 99, 1, new Uint8Array(3))],
    [/something in it/, (rig) => rig.chunk(read(rig), ChunkType.none, 1, new Uint8Array(1))],
    [/something in it/, (rig) => rig.chunk(read(rig), ChunkType.none, 0, new Uint8Array(0))],
    [/error chunk of 5/, (rig) => rig.chunk(read(rig), ChunkType.error, 1, new Uint8Array(5))],
    [/without an error/, (rig) => rig.error(read(rig), 0)],
    [/longer than its chunk/, (rig) => rig.chunk(read(rig), 0x8001, 1, lyingMessage())],
    [/error outside/, (rig) => rig.error(read(rig), NbdError.eio, 8191)],
    [/nobody asked/, (rig) => rig.status(read(rig), [[512, 0]])],
    [/another context/, (rig) => rig.status(rig.add(Command.blockStatus, 0, 512), [[512, 0]], 6)],
    [/of no bytes/, (rig) => rig.status(rig.add(Command.blockStatus, 0, 512), [[0, 0]])],
    [/extent outside/, (rig) => rig.status(rig.add(Command.blockStatus, 0, 512), TWO_EXTENTS)],
    [/before any/, (rig) => rig.none(rig.add(Command.blockStatus, 0, 512))],
  ];
  for (const [words, build] of cases) {
    const rig = new Rig(FORMS.structured);
    build(rig);
    match(rig.feed(rig.replies, () => 1000) ?? "accepted", words);
    ok(rig.isGuardWhole);
  }
});

const TWO_EXTENTS = [
  [512, 0],
  [512, 1],
] as const;

function withHole(rig: Rig, command: TestCommand): void {
  rig.data(command, 0, new Uint8Array(100)).hole(command, 99, 10);
}

function lyingMessage(): Uint8Array {
  return payloadOf(16, (view) => {
    encodeError(view, 0, NbdError.eio);
    view.setUint16(4, 20);
    return 10;
  });
}

test("ReplyReader refuses a second answer, and another offset in an extended one", () => {
  const twice = new Rig(FORMS.structured);
  const flush = twice.add(Command.flush, 0, 0);
  twice.none(flush).none(flush);
  match(twice.feed(twice.replies, () => 1000) ?? "", /not made/);
  const extended = new Rig(FORMS.extended);
  const write = extended.add(Command.write, 4096, 512);
  write.offset = 8192;
  extended.none(write);
  write.offset = 4096;
  match(extended.feed(extended.replies, () => 1000) ?? "", /another offset/);
});

test("ReplyReader bounds the pieces of one read", () => {
  const rig = new Rig(FORMS.structured);
  const read = rig.add(Command.read, 0, 4096);
  for (let at = 0; at < 2000; at += 2) rig.data(read, at, new Uint8Array(1));
  match(rig.feed(rig.replies, () => 1000) ?? "", /came before/);
});
