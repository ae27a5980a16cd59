/**
 * Conformance of an Io: moving data to and from files. Each function is one test.
 */

import { ok, strictEqual } from "node:assert/strict";

import { AllocateMode, type FileHandle, type IoVector, IoOp, type Io } from "../io.ts";
import { Errno } from "../errno.ts";
import type { Slab } from "../slab.ts";
import type { Harness } from "./harness.ts";

const KIB = 1024;
const GIB = 1024 ** 3;

/** Random single and vectored reads and writes, beside an array that does the same. */
export async function matchesModelBeyond4GiB(h: Harness): Promise<void> {
  const base = 5 * GIB + 512;
  const lengthBytes = 256 * KIB;
  const { file } = await h.create("far.img", base + lengthBytes);
  const model = new Uint8Array(lengthBytes);
  const slab = h.slab(lengthBytes);
  const vector = h.io.vector(64);
  for (let round = 0; round < 400; round++) {
    const at = h.prng.below(lengthBytes);
    const length = 1 + h.prng.below(Math.min(lengthBytes - at, 40_000));
    const start = h.prng.below(lengthBytes - length + 1);
    const ranges = h.prng.chance(0.5) ? 0 : 1 + h.prng.below(64);
    const where = { file, slab, start, length, position: base + at };
    const isWrite = h.prng.chance(0.5);
    if (isWrite) h.prng.fill(slab.bytes.subarray(start, start + length));
    const expected = model.subarray(at, at + length);
    if (isWrite) expected.set(slab.bytes.subarray(start, start + length));
    if (ranges > 0) cut(h, vector, where, ranges);
    const moved = await h.run((op) => {
      const { position } = where;
      const durable = h.prng.chance(0.05);
      if (isWrite && ranges > 0) h.io.writeVector(op, file, vector, position, durable);
      else if (isWrite) h.io.write(op, file, slab, start, length, position, durable);
      else if (ranges > 0) h.io.readVector(op, file, vector, position);
      else h.io.read(op, file, slab, start, length, position);
    });
    strictEqual(moved, length, `round ${round}`);
    const have = slab.bytes.subarray(start, start + length);
    strictEqual(Buffer.compare(have, expected), 0, `content in round ${round}`);
  }
  // A position cut to 32 bits anywhere would agree with itself, but would show here.
  const alias = base - 4 * GIB;
  const moved = await h.run((op) => h.io.read(op, file, slab, 0, lengthBytes, alias));
  strictEqual(moved, lengthBytes);
  ok(slab.bytes.every((byte) => byte === 0));
}

/** After any advance the operation moves exactly the bytes that are left. */
export async function advancedVectorMovesTheRest(h: Harness): Promise<void> {
  const lengthBytes = 64 * KIB;
  const { file } = await h.create("advance.img", lengthBytes);
  const slab = h.slab(lengthBytes);
  const copy = h.slab(lengthBytes);
  const vector = h.io.vector(16);
  h.prng.fill(slab.bytes);
  for (let round = 0; round < 50; round++) {
    cut(h, vector, { slab, start: 0, length: lengthBytes }, 16);
    let advanced = 0;
    for (let times = h.prng.below(4) + 1; times > 0; times--) {
      const step = h.prng.below(lengthBytes - advanced);
      vector.advance(step);
      advanced += step;
    }
    const left = lengthBytes - advanced;
    strictEqual(vector.lengthBytes, left);
    strictEqual(await h.run((op) => h.io.writeVector(op, file, vector, 0, false)), left);
    strictEqual(await h.run((op) => h.io.read(op, file, copy, 0, left, 0)), left);
    const wanted = slab.bytes.subarray(advanced, lengthBytes);
    strictEqual(Buffer.compare(copy.bytes.subarray(0, left), wanted), 0, `round ${round}`);
  }
  cut(h, vector, { slab, start: 0, length: lengthBytes }, 16);
  vector.advance(lengthBytes);
  strictEqual(vector.lengthBytes, 0);
  strictEqual(vector.count, 0);
}

interface Where {
  readonly slab: Slab;
  readonly start: number;
  readonly length: number;
}

/** At most `ranges` ranges of random length, one behind the other. */
function cut(h: Harness, vector: IoVector, where: Where, ranges: number): void {
  vector.clear();
  let done = 0;
  for (let left = ranges; left > 0 && done < where.length; left--) {
    const most = where.length - done;
    const length = left === 1 ? most : 1 + h.prng.below(most);
    vector.push(where.slab, where.start + done, length);
    done += length;
  }
  strictEqual(vector.lengthBytes, where.length);
  ok(vector.count >= 1 && vector.count <= ranges);
}

export async function readPastEndIsShort(h: Harness): Promise<void> {
  const { file } = await h.create("end.img", 10_000);
  const slab = h.slab(8192);
  const vector = h.io.vector(2);
  vector.push(slab, 0, 1000);
  vector.push(slab, 1000, 7192);
  for (const [position, expected] of [
    [8192, 1808],
    [9999, 1],
    [10_000, 0],
    [20_000, 0],
    [6 * GIB, 0],
  ] as const) {
    strictEqual(await h.run((op) => h.io.read(op, file, slab, 0, 4096, position)), expected);
    strictEqual(await h.run((op) => h.io.readVector(op, file, vector, position)), expected);
  }
}

export async function durableWriteAndSyncComplete(h: Harness): Promise<void> {
  const { file } = await h.create("durable.img", 64 * KIB);
  const slab = h.slab(8192);
  h.prng.fill(slab.bytes);
  strictEqual(await h.run((op) => h.io.write(op, file, slab, 0, 4096, 0, true)), 4096);
  strictEqual(await h.run((op) => h.io.sync(op, file)), 0);
  strictEqual(await h.run((op) => h.io.sync(op, file)), 0);
  const wanted = slab.bytes.slice(0, 4096);
  strictEqual(await h.run((op) => h.io.read(op, file, slab, 4096, 4096, 0)), 4096);
  strictEqual(Buffer.compare(slab.bytes.subarray(4096, 8192), wanted), 0);
}

export async function writeToReadOnlyFileFails(h: Harness): Promise<void> {
  const made = await h.create("read-only.img", 4096);
  await h.closeFile(made.file);
  const { file } = await h.open({ path: h.path("read-only.img"), write: false });
  const slab = h.slab(4096);
  const result = await h.run((op) => h.io.write(op, file, slab, 0, 4096, 0, false));
  ok(result < 0, `result ${result}`);
}

/** Reads the file from inside complete, again and again. */
class ChainOp extends IoOp {
  readonly results: number[] = [];
  readonly #io: Io;
  readonly #file: FileHandle;
  readonly #slab: Slab;
  readonly #ended: () => void;
  #starting = false;

  constructor(io: Io, file: FileHandle, slab: Slab, ended: () => void) {
    super();
    this.#io = io;
    this.#file = file;
    this.#slab = slab;
    this.#ended = ended;
  }

  start(): void {
    this.#starting = true;
    this.#io.read(this, this.#file, this.#slab, 0, 512, this.results.length * 512);
    this.#starting = false;
  }

  override complete(result: number): void {
    ok(!this.#starting, "completed inside the call");
    strictEqual(this.inFlight, false);
    this.results.push(this.#slab.bytes[0] ?? -1, result);
    if (this.results.length < 2000) this.start();
    else this.#ended();
  }
}

export async function opIsReusedInsideComplete(h: Harness): Promise<void> {
  const { file } = await h.create("chain.img", 2048 * 512);
  const slab = h.slab(2048 * 512);
  for (let block = 0; block < 2048; block++) slab.bytes[block * 512] = block;
  const all = slab.bytes.length;
  strictEqual(await h.run((op) => h.io.write(op, file, slab, 0, all, 0, false)), all);
  const op = await new Promise<ChainOp>((resolve) => {
    const chain = new ChainOp(h.io, file, h.slab(512), () => h.io.defer(() => resolve(chain)));
    h.io.attach(chain);
    chain.start();
  });
  h.io.detach(op);
  for (let index = 0; index < 2000; index += 2) {
    strictEqual(op.results[index], index % 256, "each read sees its own block");
    strictEqual(op.results[index + 1], 512);
  }
}

export async function manyOperationsAtOnce(h: Harness): Promise<void> {
  const count = 5000;
  const { file } = await h.create("many.img", count * 512);
  const slab = h.slab(count * 512);
  const { bytes } = slab;
  const view = new DataView(bytes.buffer, bytes.byteOffset, count * 512);
  const all = Array.from({ length: count }, (_, index) => index);
  for (const index of all) view.setUint32(index * 512 + 8, index * 7919, true);
  const written = await Promise.all(
    all.map((index) =>
      h.run((op) => h.io.write(op, file, slab, index * 512, 512, index * 512, false)),
    ),
  );
  ok(written.every((result) => result === 512));
  bytes.fill(0);
  const read = await Promise.all(
    all.map((index) => {
      const from = count - 1 - index;
      return h.run((op) => h.io.read(op, file, slab, index * 512, 512, from * 512));
    }),
  );
  ok(read.every((result) => result === 512));
  for (const index of all) {
    strictEqual(view.getUint32(index * 512 + 8, true), ((count - 1 - index) * 7919) >>> 0);
  }
}

export async function punchAndZeroReadAsZeroes(h: Harness): Promise<void> {
  const sizeBytes = 256 * KIB;
  const { file, canPunch, canZero } = await h.create("allocate.img", sizeBytes);
  const slab = h.slab(sizeBytes);
  for (const [mode, works] of [
    [AllocateMode.punch, canPunch],
    [AllocateMode.zero, canZero],
  ] as const) {
    slab.bytes.fill(0xaa);
    await h.run((op) => h.io.write(op, file, slab, 0, sizeBytes, 0, false));
    const at = 12 * KIB;
    const length = 100 * KIB;
    const result = await h.run((op) => h.io.allocate(op, file, mode, at, length));
    strictEqual(result, works ? 0 : -Errno.EOPNOTSUPP);
    slab.bytes.fill(1);
    strictEqual(await h.run((op) => h.io.read(op, file, slab, 0, sizeBytes, 0)), sizeBytes);
    for (let offset = 0; offset < sizeBytes; offset++) {
      const isZeroed = works && offset >= at && offset < at + length;
      if (slab.bytes[offset] !== (isZeroed ? 0 : 0xaa)) throw new Error(`wrong at ${offset}`);
    }
  }
}

/** Every byte that is not zero lies in a range that seek calls data. */
export async function seekAgreesWithContent(h: Harness): Promise<void> {
  const sizeBytes = 1024 * KIB;
  const { file } = await h.create("seek.img", sizeBytes);
  const slab = h.slab(4 * KIB);
  slab.bytes.fill(5);
  const dataAt = [128 * KIB, 256 * KIB, 260 * KIB, sizeBytes - 4 * KIB];
  for (const at of dataAt) {
    await h.run((op) => h.io.write(op, file, slab, 0, 4 * KIB, at, false));
  }
  const seek = (from: number, what: "data" | "hole"): Promise<number> =>
    h.run((op) => h.io.seek(op, file, from, what));
  const first = await seek(0, "data");
  if (first === -Errno.EOPNOTSUPP) return;
  const ranges: { readonly from: number; readonly to: number }[] = [];
  for (let from = first; from >= 0; ) {
    const to = await seek(from, "hole");
    ok(to > from && to <= sizeBytes, `hole at ${to} after data at ${from}`);
    ranges.push({ from, to });
    from = to < sizeBytes ? await seek(to, "data") : -Errno.ENXIO;
    ok(from > to || from === -Errno.ENXIO, `data at ${from} after a hole at ${to}`);
  }
  for (const at of dataAt) {
    ok(
      ranges.some(({ from, to }) => from <= at && at + 4 * KIB <= to),
      `data at ${at}`,
    );
  }
  strictEqual(await seek(sizeBytes, "data"), -Errno.ENXIO);
  strictEqual(await seek(sizeBytes + 4096, "hole"), -Errno.ENXIO);
}
