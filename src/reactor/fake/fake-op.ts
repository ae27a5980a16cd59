/**
 * FakeOp: the fake Io's side of one attached IoOp: what it has in flight and when it goes on.
 *
 *   idle --start--> waiting (for data, room, a hung disk) <--wake()/no progress--> due --> idle
 *
 * It belongs to its Io; a kill abandons it where it is.
 */

import { assert } from "../../util/assert.ts";
import type { IoOp, IoVector } from "../io.ts";
import type { Slab, SlabSpace } from "../slab.ts";
import type { FakeFault } from "./fake-faults.ts";
import type { FakeFile } from "./fake-file.ts";
import type { SyncedSectors } from "./fake-file-chunk.ts";
import type { FakeSocket } from "./fake-socket.ts";
import { HeapVector } from "../heap-vector.ts";
import { ProcessEvent, type ProcessGate } from "./process-gate.ts";

export type FakeOpKind =
  | "idle"
  | "read"
  | "write"
  | "sync"
  | "punch"
  | "zero"
  | "seek"
  | "receive"
  | "send";

/** Takes an operation one step on. */
export interface FakeOpOwner {
  opDue(op: FakeOp): void;
}

export class FakeOp extends ProcessEvent {
  readonly target: IoOp;
  kind: FakeOpKind = "idle";
  /** In the queue, or held back by its paused process. */
  isDue = false;
  isCancelled = false;
  /** The memory: `single` for operations on one range. */
  vector: HeapVector;
  readonly single = new HeapVector(1);
  file: FakeFile | null = null;
  socket: FakeSocket | null = null;
  position = 0;
  length = 0;
  durable = false;
  seekHole = false;
  /** Bytes moved so far, when it goes in two steps. */
  done = 0;
  /** Where the first of two steps ends; 0 when there is one. */
  splitAt = 0;
  /** The kernel refuses it at once with this; 0 when it does not. */
  refusedErrno = 0;
  fault: FakeFault | null = null;
  synced: readonly SyncedSectors[] = [];
  readonly #owner: FakeOpOwner;

  constructor(gate: ProcessGate, owner: FakeOpOwner, target: IoOp) {
    super(gate);
    this.#owner = owner;
    this.target = target;
    this.vector = this.single;
  }

  begin(kind: FakeOpKind): void {
    assert(!this.target.inFlight, "an op has one operation in flight");
    this.target.inFlight = true;
    this.kind = kind;
    this.isCancelled = false;
    this.position = 0;
    this.length = 0;
    this.durable = false;
    this.done = 0;
    this.splitAt = 0;
    this.refusedErrno = 0;
    this.fault = null;
  }

  /** Its memory is one range. */
  useRange(slabs: SlabSpace, slab: Slab, offset: number, length: number): void {
    assert(slabs.get(slab.id) === slab, "memory of this process's own slabs");
    this.vector = this.single;
    this.single.clear();
    this.single.push(slab, offset, length);
  }

  /** Its memory is the vector's ranges, which must not change until it has ended. */
  useVector(slabs: SlabSpace, vector: IoVector): void {
    assert(vector instanceof HeapVector, "a vector of this Io");
    assert(!vector.busy, "a vector is used by one operation at a time");
    assert(vector.lengthBytes > 0, "a vector holds bytes");
    for (let index = 0; index < vector.count; index++) {
      const slab = vector.slabAt(index);
      assert(slabs.get(slab.id) === slab, "memory of this process's own slabs");
    }
    vector.busy = true;
    this.vector = vector;
  }

  /** Has it go on after `delayMs`, unless it is about to anyway. */
  wake(delayMs: number): void {
    if (this.isDue) return;
    this.isDue = true;
    this.gate.queue.schedule(this, delayMs);
  }

  /** Back to idle; the target may start its next operation. */
  end(): void {
    this.kind = "idle";
    this.vector.busy = false;
    this.file = null;
    this.socket = null;
    this.synced = [];
    this.target.inFlight = false;
  }

  override fire(): void {
    // A hung disk may wake it after its process has gone.
    if (!this.gate.isAlive) this.isDue = false;
    super.fire();
  }

  protected override run(): void {
    this.isDue = false;
    this.#owner.opDue(this);
  }

  override describe(): string {
    const place = this.file === null ? "" : ` ${this.file.path} @${this.position}`;
    return `${this.gate.name} ${this.kind}${place} ${this.length}`;
  }
}
