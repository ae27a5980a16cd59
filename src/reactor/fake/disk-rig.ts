/**
 * DiskRig: one fake process with one file, and operations that run to their end: for tests of the
 * fake disk. Owns its world.
 */

import { ok } from "node:assert/strict";
import { type AllocateMode, IoOp, type OpenedFile } from "../io.ts";
import type { Slab } from "../slab.ts";
import { type FakeProcess, FakeWorld } from "./fake-world.ts";

export const SECTOR = 512;

export class WaitedOp extends IoOp {
  result: number | null = null;
  override complete(result: number): void {
    this.result = result;
  }
}

/** The process is another one after each kill or power loss. */
export class DiskRig {
  readonly world: FakeWorld;
  process: FakeProcess;
  readonly path = "/disk.img";
  slab: Slab;
  opened!: OpenedFile; // set by `open`

  constructor(seed: number | string, disk = {}) {
    this.world = new FakeWorld({ seed, disk });
    this.process = this.world.process();
    this.slab = this.process.io.slabs.allocate(1024 * 1024);
  }

  static async open(seed: number | string, sizeBytes: number, disk = {}): Promise<DiskRig> {
    const rig = new DiskRig(seed, disk);
    await rig.reopen(sizeBytes);
    return rig;
  }

  /** Opens the file, in a new process when the last one has ended. */
  async reopen(sizeBytes?: number): Promise<void> {
    if (!this.process.isAlive) {
      this.process = this.world.process();
      this.slab = this.process.io.slabs.allocate(1024 * 1024);
    }
    const size = sizeBytes === undefined ? {} : { createSizeBytes: sizeBytes };
    const opening = this.process.io.openFile({ path: this.path, write: true, ...size });
    this.opened = await this.world.runUntil(opening);
  }

  start(begin: (op: IoOp) => void): WaitedOp {
    const op = new WaitedOp();
    this.process.io.attach(op);
    begin(op);
    return op;
  }

  async run(begin: (op: IoOp) => void): Promise<number> {
    const op = this.start(begin);
    await this.world.run();
    ok(op.result !== null, "it has ended");
    return op.result;
  }

  startWrite(position: number, bytes: Uint8Array, durable = false, at = 0): WaitedOp {
    this.slab.bytes.set(bytes, at);
    const { io } = this.process;
    return this.start((op) =>
      io.write(op, this.opened.file, this.slab, at, bytes.length, position, durable),
    );
  }

  async write(position: number, bytes: Uint8Array, durable = false): Promise<number> {
    const op = this.startWrite(position, bytes, durable);
    await this.world.run();
    return op.result as number;
  }

  async read(position: number, length: number): Promise<Uint8Array | number> {
    const { io } = this.process;
    const result = await this.run((op) =>
      io.read(op, this.opened.file, this.slab, 0, length, position),
    );
    return result < 0 ? result : this.slab.bytes.slice(0, result);
  }

  sync(): Promise<number> {
    return this.run((op) => this.process.io.sync(op, this.opened.file));
  }

  allocate(mode: AllocateMode, position: number, length: number): Promise<number> {
    return this.run((op) => this.process.io.allocate(op, this.opened.file, mode, position, length));
  }

  seek(position: number, what: "data" | "hole"): Promise<number> {
    return this.run((op) => this.process.io.seek(op, this.opened.file, position, what));
  }

  async powerLoss(keep?: number): Promise<void> {
    this.world.powerLoss("local", keep);
    await this.reopen();
  }
}

export function filled(sectors: number, value: number): Uint8Array {
  return new Uint8Array(sectors * SECTOR).fill(value);
}

/** The value of each sector; -1 when it is torn. */
export function valuesOf(bytes: Uint8Array | number): number[] {
  ok(typeof bytes !== "number", `read failed: ${bytes}`);
  return Array.from({ length: bytes.length / SECTOR }, (_, index) => {
    const sector = bytes.subarray(index * SECTOR, (index + 1) * SECTOR);
    return sector.every((byte) => byte === sector[0]) ? (sector[0] as number) : -1;
  });
}
