/**
 * What every conformance test of an Io works with: the Io, awaitable operations, files, sockets.
 *
 * One harness per test; it owns the Io and whatever the test opens through it, and `end` closes
 * all of that, which is part of the test. Any number of awaited operations may be in flight.
 */

import { strictEqual } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Prng } from "../../util/prng.ts";
import { type FileHandle, type Io, IoOp, type OpenedFile, type OpenFileOptions } from "../io.ts";
import type { Slab } from "../slab.ts";
import { SocketEnd } from "./socket-end.ts";

/** What a level may lack; tests of it are skipped with the reason given. */
export const IoFeature = {
  /** Files are those of the machine, so that node:fs sees them too. */
  realFiles: "realFiles",
  /** Sockets are those of the machine, so that a node:net peer reaches them. */
  realSockets: "realSockets",
  ipv6: "ipv6",
  unixSockets: "unixSockets",
} as const;
export type IoFeature = (typeof IoFeature)[keyof typeof IoFeature];

export interface IoConformanceOptions {
  /** Feature to reason. */
  readonly lacks?: Readonly<Partial<Record<IoFeature, string>>>;
  /** Where test files go; a fresh folder under TMPDIR when absent. */
  readonly folder?: string;
  /**
   * Makes virtual time go on until `test` has settled, and gives its outcome. Absent where time
   * goes by itself.
   */
  readonly runUntil?: (io: Io, test: Promise<void>) => Promise<void>;
}

export type CreateIo = () => Io | Promise<Io>;

/** An operation that is awaited; also checks that it does not complete inside its call. */
export class AwaitedOp extends IoOp {
  readonly #io: Io;
  #resolve: ((result: number) => void) | null = null;
  #starting = false;
  completedInsideCall = false;

  constructor(io: Io) {
    super();
    this.#io = io;
    io.attach(this);
  }

  /** Calls `start`, which starts one operation on this op, and waits for its result. */
  run(start: (op: AwaitedOp) => void): Promise<number> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#starting = true;
      start(this);
      this.#starting = false;
    });
  }

  override complete(result: number): void {
    if (this.#starting) this.completedInsideCall = true;
    const resolve = this.#resolve;
    this.#resolve = null;
    this.#io.defer(() => resolve?.(result));
  }
}

export class Harness {
  readonly io: Io;
  readonly prng: Prng;
  readonly #ops: AwaitedOp[] = [];
  readonly #idleOps: AwaitedOp[] = [];
  readonly #files = new Set<FileHandle>();
  readonly #ends = new Set<SocketEnd>();
  readonly #undo: (() => void | Promise<void>)[] = [];
  readonly #options: IoConformanceOptions;
  #folder: string | null = null;

  constructor(io: Io, title: string, options: IoConformanceOptions) {
    this.io = io;
    this.prng = new Prng(title);
    this.#options = options;
  }

  /** A path for a file or a socket, in a folder of this test. */
  path(name: string): string {
    this.#folder ??= this.#makeFolder();
    return join(this.#folder, name);
  }

  slab(lengthBytes: number): Slab {
    return this.io.slabs.allocate(lengthBytes);
  }

  /** Runs one operation on an op of its own. */
  async run(start: (op: AwaitedOp) => void): Promise<number> {
    const op = this.#idleOps.pop() ?? this.#makeOp();
    const result = await op.run(start);
    this.#idleOps.push(op);
    return result;
  }

  async open(options: OpenFileOptions): Promise<OpenedFile> {
    const opened = await this.io.openFile(options);
    this.#files.add(opened.file);
    return opened;
  }

  async closeFile(file: FileHandle): Promise<void> {
    this.#files.delete(file);
    await this.io.closeFile(file);
  }

  /** A fresh file of zeroes, open for writing. */
  create(name: string, sizeBytes: number): Promise<OpenedFile> {
    return this.open({ path: this.path(name), write: true, createSizeBytes: sizeBytes });
  }

  /** Takes a socket under the harness's care. */
  end(socket: number): SocketEnd {
    const end = new SocketEnd(this, socket);
    this.#ends.add(end);
    return end;
  }

  forget(end: SocketEnd): void {
    this.#ends.delete(end);
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.io.clock.startTimer(delayMs, resolve);
    });
  }

  /** Runs after the test, last registered first. */
  after(undo: () => void | Promise<void>): void {
    this.#undo.push(undo);
  }

  /** Closes everything, and the Io twice: that must not fail either. */
  async close(): Promise<void> {
    for (const end of [...this.#ends]) await end.close();
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) await undo();
    for (const file of this.#files) await this.io.closeFile(file);
    for (const op of this.#ops) {
      strictEqual(op.completedInsideCall, false, "an operation completed inside its call");
      strictEqual(op.inFlight, false, "an operation is in flight after its test");
      this.io.detach(op);
      strictEqual(op.slot, -1);
    }
    await this.io.close();
    await this.io.close();
  }

  #makeOp(): AwaitedOp {
    const op = new AwaitedOp(this.io);
    this.#ops.push(op);
    return op;
  }

  #makeFolder(): string {
    if (this.#options.folder !== undefined) return this.#options.folder;
    const folder = mkdtempSync(join(tmpdir(), "penstock-io-"));
    this.after(() => rmSync(folder, { recursive: true, force: true }));
    return folder;
  }
}
