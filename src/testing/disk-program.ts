/**
 * Disk programs: random operations on one file or block device through an Io, one after the other,
 * and what each gave, as text. Two Ios that keep the same promises give the same texts.
 *
 * A `DiskActor` owns the open file and its memory; nothing else uses its Io.
 */

import { createHash } from "node:crypto";
import { Errno } from "../reactor/errno.ts";
import { AllocateMode, type Io, IoOp, type IoVector, type OpenedFile } from "../reactor/io.ts";
import type { Slab } from "../reactor/slab.ts";
import { PenstockError } from "../util/errors.ts";
import type { Prng } from "../util/prng.ts";

export type DiskStep =
  | {
      readonly kind: "read" | "write";
      readonly position: number;
      /** Lengths of the memory ranges; one: not a vector. */
      readonly ranges: readonly number[];
      readonly durable: boolean;
      /** What is written is made of it. */
      readonly value: number;
    }
  | { readonly kind: "punch" | "zero"; readonly position: number; readonly length: number }
  | { readonly kind: "seek"; readonly position: number; readonly what: "data" | "hole" }
  | { readonly kind: "sync" }
  /** Closed and opened again; grown to `sizeBytes` unless -1. */
  | { readonly kind: "reopen"; readonly sizeBytes: number };

export interface DiskProgramOptions {
  readonly sizeBytes: number;
  readonly steps: number;
  /** Positions and lengths are multiples of it, most of the time. */
  readonly granule: number;
  /** The same of punches, always; default `granule`. */
  readonly punchGranule?: number;
  readonly lengthMax: number;
  readonly kinds: readonly DiskStep["kind"][];
  /** Operations may go beyond the end by so much. */
  readonly beyondBytes: number;
}

const RANGES_MAX = 5;

/** Draws a program. */
export function drawDiskProgram(prng: Prng, options: DiskProgramOptions): DiskStep[] {
  return Array.from({ length: options.steps }, () => drawStep(prng, options));
}

function drawStep(prng: Prng, options: DiskProgramOptions): DiskStep {
  const { sizeBytes, beyondBytes, lengthMax } = options;
  const kind = prng.pick(options.kinds);
  const granule = prng.below(16) === 0 ? 1 : options.granule;
  const nearEnd = prng.below(6) === 0;
  const from = nearEnd ? Math.max(0, sizeBytes - lengthMax) : 0;
  const position = roundDown(from + prng.below(sizeBytes + beyondBytes - from), granule);
  const length = Math.max(granule, roundDown(prng.below(lengthMax), granule));
  switch (kind) {
    case "read":
    case "write": {
      const ranges = cut(prng, length, granule);
      const durable = kind === "write" && prng.below(8) === 0;
      return { kind, position, ranges, durable, value: 1 + prng.below(255) };
    }
    case "punch":
    case "zero": {
      const whole = options.punchGranule ?? 1;
      const rounded = roundDown(length, whole);
      return { kind, position: roundDown(position, whole), length: Math.max(rounded, whole) };
    }
    case "seek":
      return { kind, position, what: prng.pick(["data", "hole"]) };
    case "reopen":
      return { kind, sizeBytes: prng.pick([-1, -1, sizeBytes + roundDown(beyondBytes, 512)]) };
    case "sync":
      return { kind };
  }
}

/** At most `RANGES_MAX` lengths that are `length` together. */
function cut(prng: Prng, length: number, granule: number): number[] {
  const ranges: number[] = [];
  let left = length;
  for (let count = 1 + prng.below(RANGES_MAX); count > 1 && left > granule; count--) {
    const taken = Math.max(granule, roundDown(prng.below(left), granule));
    if (taken >= left) break;
    ranges.push(taken);
    left -= taken;
  }
  ranges.push(left);
  return ranges;
}

function roundDown(value: number, granule: number): number {
  return value - (value % granule);
}

class StepOp extends IoOp {
  readonly ended: Promise<number>;
  #resolve: (result: number) => void = () => undefined;
  readonly #io: Io;

  constructor(io: Io) {
    super();
    this.#io = io;
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  override complete(result: number): void {
    this.#io.defer(() => this.#resolve(result));
  }
}

export interface DiskActorOptions {
  readonly path: string;
  readonly direct: boolean;
  readonly lengthMax: number;
}

export class DiskActor {
  readonly #io: Io;
  readonly #options: DiskActorOptions;
  readonly #slab: Slab;
  readonly #vector: IoVector;
  #opened: OpenedFile | null = null;

  constructor(io: Io, options: DiskActorOptions) {
    this.#io = io;
    this.#options = options;
    this.#slab = io.slabs.allocate(options.lengthMax);
    this.#vector = io.vector(RANGES_MAX);
  }

  /** @returns the size, or the error's code */
  async open(createSizeBytes: number): Promise<string> {
    const { path, direct } = this.#options;
    const size = createSizeBytes < 0 ? {} : { createSizeBytes };
    try {
      this.#opened = await this.#io.openFile({ path, write: true, direct, ...size });
      return `${this.#opened.sizeBytes} bytes`;
    } catch (error) {
      if (error instanceof PenstockError) return error.code;
      throw error;
    }
  }

  async close(): Promise<void> {
    if (this.#opened !== null) await this.#io.closeFile(this.#opened.file);
    this.#opened = null;
  }

  /** What the step gave: a count, an errno's name, a position; of reads also what they read. */
  async run(step: DiskStep): Promise<string> {
    const opened = this.#opened;
    if (opened === null) return await this.open(-1);
    const { file } = opened;
    const io = this.#io;
    switch (step.kind) {
      case "read":
        return this.#transfer(file, step);
      case "write":
        return this.#transfer(file, step);
      case "punch":
      case "zero": {
        const mode = step.kind === "punch" ? AllocateMode.punch : AllocateMode.zero;
        return this.#wait((op) => io.allocate(op, file, mode, step.position, step.length));
      }
      case "seek":
        return this.#wait((op) => io.seek(op, file, step.position, step.what));
      case "sync":
        return this.#wait((op) => io.sync(op, file));
      case "reopen":
        await this.close();
        return this.open(step.sizeBytes);
    }
  }

  async #transfer(file: number, step: DiskStep & { kind: "read" | "write" }): Promise<string> {
    const { position, ranges, durable } = step;
    const length = ranges.reduce((sum, each) => sum + each, 0);
    const bytes = this.#slab.bytes.subarray(0, length);
    const io = this.#io;
    if (step.kind === "read") bytes.fill(0xee);
    else for (let at = 0; at < length; at++) bytes[at] = (step.value + (at >> 9)) & 0xff;
    const result = await this.#wait((op) => {
      if (ranges.length === 1) {
        if (step.kind === "read") io.read(op, file, this.#slab, 0, length, position);
        else io.write(op, file, this.#slab, 0, length, position, durable);
        return;
      }
      const vector = this.#vector;
      vector.clear();
      let at = 0;
      for (const range of ranges) {
        vector.push(this.#slab, at, range);
        at += range;
      }
      if (step.kind === "read") io.readVector(op, file, vector, position);
      else io.writeVector(op, file, vector, position, durable);
    });
    if (step.kind === "write") return result;
    // What lies behind the bytes that were read may be zeroed (direct I/O does) or not.
    const got = bytes.subarray(0, Number(result) || 0);
    return `${result} ${createHash("sha1").update(got).digest("hex").slice(0, 8)}`;
  }

  async #wait(begin: (op: IoOp) => void): Promise<string> {
    const op = new StepOp(this.#io);
    this.#io.attach(op);
    begin(op);
    this.#io.requestTurn();
    const result = await op.ended;
    this.#io.detach(op);
    return result < 0 ? nameOf(-result) : String(result);
  }
}

function nameOf(errno: number): string {
  const found = Object.entries(Errno).find(([, value]) => value === errno);
  return found === undefined ? `errno ${errno}` : found[0];
}
