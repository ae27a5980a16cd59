/**
 * FileOperation: one file operation of one attached op, reused for all its operations.
 *
 *   idle --read/write--> moving --part done--> moving --all, or end of file--> idle, finished
 *     --durable write, all done--> syncing --> idle, finished          --sync--> syncing
 *
 * Callbacks are made once. Node may move less than asked for; the rest is asked for again, so that
 * a short result means the end of the file.
 */

import fs from "node:fs";

import { assert } from "../../util/assert.ts";
import { Errno } from "../errno.ts";
import type { IoOp } from "../io.ts";
import type { Slab } from "../slab.ts";
import type { OpenFile } from "./file-table.ts";
import type { HeapVector } from "../heap-vector.ts";
import type { TurnLoop } from "./turn-loop.ts";

type Moved = (error: NodeJS.ErrnoException | null, count: number) => void;

export class FileOperation {
  readonly #op: IoOp;
  readonly #loop: TurnLoop;
  #file: OpenFile | null = null;
  #slab: Slab | null = null;
  #vector: HeapVector | null = null;
  #offset = 0;
  #length = 0;
  #position = 0;
  #done = 0;
  #isWrite = false;
  #durable = false;

  constructor(op: IoOp, loop: TurnLoop) {
    this.#op = op;
    this.#loop = loop;
  }

  /** Moves a range of a slab. Hot path. */
  moveRange(
    file: OpenFile,
    slab: Slab,
    offset: number,
    length: number,
    position: number,
    isWrite: boolean,
    durable: boolean,
  ): void {
    assert(offset >= 0 && offset + length <= slab.lengthBytes, "a range lies within its slab");
    this.#slab = slab;
    this.#offset = offset;
    this.#move(file, length, position, isWrite, durable);
  }

  /** Moves a vector's ranges, and leaves the vector as it is. Hot path. */
  moveVector(
    file: OpenFile,
    vector: HeapVector,
    position: number,
    isWrite: boolean,
    durable: boolean,
  ): void {
    this.#vector = vector;
    this.#move(file, vector.lengthBytes, position, isWrite, durable);
  }

  sync(file: OpenFile): void {
    this.#begin(file);
    this.#done = 0;
    fs.fdatasync(file.fd, this.#synced);
  }

  #move(
    file: OpenFile,
    length: number,
    position: number,
    isWrite: boolean,
    durable: boolean,
  ): void {
    assert(Number.isSafeInteger(position) && position >= 0, "a position is 0 to 2^53 - 1");
    this.#begin(file);
    this.#length = length;
    this.#position = position;
    this.#done = 0;
    this.#isWrite = isWrite;
    this.#durable = durable;
    if (length > 0) this.#step();
    else this.#end(0);
  }

  #begin(file: OpenFile): void {
    this.#loop.ops.begin(this.#op);
    this.#file = file;
    file.inFlight++;
  }

  // hot path
  #step(): void {
    const fd = (this.#file as OpenFile).fd;
    const done = this.#done;
    const position = this.#position + done;
    const slab = this.#slab;
    if (slab !== null) {
      const offset = this.#offset + done;
      const left = this.#length - done;
      if (this.#isWrite) fs.write(fd, slab.bytes, offset, left, position, this.#moved);
      else fs.read(fd, slab.bytes, offset, left, position, this.#moved);
      return;
    }
    const views = (this.#vector as HeapVector).views(done);
    if (this.#isWrite) fs.writev(fd, views, position, this.#moved);
    else fs.readv(fd, views, position, this.#moved);
  }

  readonly #moved: Moved = (error, count) => {
    if (error !== null) {
      this.#end(error.errno ?? -Errno.EIO);
      return;
    }
    this.#done += count;
    if (this.#done < this.#length && count > 0) {
      this.#step();
    } else if (!this.#isWrite) {
      this.#end(this.#done);
    } else if (this.#done < this.#length) {
      // A write that moves nothing and does not say why.
      this.#end(-Errno.EIO);
    } else if (this.#durable) {
      fs.fdatasync((this.#file as OpenFile).fd, this.#synced);
    } else {
      this.#end(this.#done);
    }
  };

  readonly #synced = (error: NodeJS.ErrnoException | null): void => {
    this.#end(error === null ? this.#done : (error.errno ?? -Errno.EIO));
  };

  #end(result: number): void {
    (this.#file as OpenFile).inFlight--;
    this.#file = null;
    this.#slab = null;
    this.#vector = null;
    this.#loop.finish(this.#op, result);
  }
}
