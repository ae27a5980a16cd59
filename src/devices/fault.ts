/**
 * FaultFilter: `fault?read=error&write=torn&range=1MiB-2MiB&count=3&probability=0.01&seed=42`: what
 * media and paths do when they fail, on purpose.
 *
 *   error    ends with `status`; nothing goes down
 *   corrupt  one byte of what is read, or of what is written, is another
 *   hang     is held until the fault is switched off, hurried or closed; then it goes down
 *   torn     some whole blocks of a write go down, not all; it ends with `status`
 *   drop     ends with ok, and nothing goes down: a disk that lies
 *
 * A flipped byte is always in memory that nobody else sees: the reader's own, or a copy. Where the
 * pool has no memory for a copy, the request goes down unharmed and is counted as `spared`.
 * State: what is left of the count, the draws, requests that hang (bounded by what their submitters
 * have in flight), tasks in flight, memory lent to readers.
 */

import type { DeviceDetails } from "../block/device.ts";
import { Filter, filterInfo, passAll } from "../block/filter.ts";
import type { Joint } from "../block/joint.ts";
import { Operation, OPERATION_COUNT, OPERATION_NAMES, RequestFlag } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { Status, statusName } from "../block/status.ts";
import type { PoolBuffer } from "../reactor/buffer-pool.ts";
import { unreachable } from "../util/assert.ts";
import { Prng } from "../util/prng.ts";
import { FaultTask, type FaultTaskOwner } from "./fault-task.ts";

export const FAULT_KINDS = ["off", "error", "corrupt", "hang", "torn", "drop"] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** What can go wrong with each operation; indexed by operation. */
export const KINDS_OF_OPERATION: readonly (readonly FaultKind[])[] = [
  ["off", "error", "corrupt", "hang"],
  ["off", "error", "corrupt", "hang", "torn", "drop"],
  ["off", "error", "hang", "drop"],
  ["off", "error", "hang", "drop"],
  ["off", "error", "hang", "drop"],
  ["off", "error", "hang"],
  ["off", "error", "corrupt", "hang", "drop"],
  ["off", "error", "hang"],
];

export interface FaultSettings {
  /** Indexed by operation; each one of `KINDS_OF_OPERATION`. */
  readonly kinds: readonly FaultKind[];
  /** What `error` and `torn` end with; only `torn` may end with ok. */
  readonly status: Status;
  /** Only requests that touch [offset, end); a flush touches all. Null: everywhere. */
  readonly range: { readonly offset: number; readonly end: number } | null;
  /** After so many faults there are no more. */
  readonly count: number;
  /** Of a fault, for each request that it could strike: 0 to 1. */
  readonly probability: number;
  /** The same seed and the same requests give the same faults. Undefined: drawn. */
  readonly seed: number | undefined;
}

export const NO_FAULTS: readonly FaultKind[] = new Array<FaultKind>(OPERATION_COUNT).fill("off");

export class FaultFilter extends Filter implements FaultTaskOwner {
  #settings: FaultSettings;
  #left: number;
  #prng: Prng;
  readonly #entropy: string;
  /** Faults since it was opened, by operation. */
  readonly #injected = new Float64Array(OPERATION_COUNT);
  #spared = 0;
  /** Linked by `next`, oldest first. */
  #hungFirst: Request | null = null;
  #hungLast: Request | null = null;
  #hung = 0;
  readonly #freeTasks: FaultTask[] = [];
  /** Memory of ours that readers have, by the request that it was lent with. */
  readonly #lentBuffers = new Map<Request, PoolBuffer>();

  /** @param entropy stands for the seed where the settings give none */
  constructor(below: Joint, name: string, settings: FaultSettings, entropy: string) {
    super(below, filterInfo(below, "fault", name), passAll(below));
    this.#settings = settings;
    this.#entropy = entropy;
    this.#left = settings.count;
    this.#prng = new Prng(settings.seed ?? entropy);
  }

  /** Other faults from now on, counted and drawn afresh. What need not hang any more goes on. */
  change(settings: FaultSettings): void {
    this.#settings = settings;
    this.#left = settings.count;
    this.#prng = new Prng(settings.seed ?? this.#entropy);
    this.#releaseHung((request) => settings.kinds[request.operation] === "hang");
  }

  override hurry(): void {
    this.#releaseHung(() => false);
  }

  override describe(): DeviceDetails {
    const { kinds, status, range, probability } = this.#settings;
    const byName = (values: Iterable<unknown>, none: unknown): DeviceDetails =>
      Object.fromEntries(
        [...values]
          .map((value, operation) => [OPERATION_NAMES[operation], value] as const)
          .filter(([, value]) => value !== none),
      );
    return {
      faults: byName(kinds, "off"),
      status: statusName(status),
      range,
      probability,
      left: this.#left === Number.POSITIVE_INFINITY ? null : this.#left,
      injected: byName(this.#injected, 0),
      hung: this.#hung,
      spared: this.#spared,
    };
  }

  // hot path
  protected override start(request: Request): void {
    const kind = this.#settings.kinds[request.operation] as FaultKind;
    if (kind === "off" || !this.#strikes(request)) this.pass(request);
    else this.#inject(kind, request);
  }

  override lentReturned(request: Request): void {
    super.lentReturned(request);
    this.#lentBuffers.get(request)?.release();
    this.#lentBuffers.delete(request);
  }

  taskEnded(task: FaultTask): void {
    const victim = task.victim as Request; // it stands for one until it is given back
    const { status, endStatus } = task;
    if (status === Status.ok && task.nextPart()) {
      this.below.submit(task);
      return;
    }
    if (status !== Status.ok) victim.errorOffset = task.errorOffset;
    else if (victim.operation === Operation.read) this.#spoil(task, victim);
    this.#give(task);
    victim.finish(status === Status.ok ? endStatus : status);
  }

  /** Draws for every request that it could strike, so that the draws follow the requests. */
  #strikes(request: Request): boolean {
    const { range, probability } = this.#settings;
    if (this.#left <= 0) return false;
    if (range !== null && request.operation !== Operation.flush) {
      const { offset, length } = request;
      if (offset >= range.end || offset + length <= range.offset) return false;
    }
    return probability === 1 || this.#prng.chance(probability);
  }

  #inject(kind: Exclude<FaultKind, "off">, request: Request): void {
    this.#left--;
    this.#injected[request.operation] = (this.#injected[request.operation] as number) + 1;
    switch (kind) {
      case "error":
        this.#fail(request, this.#firstStruck(request));
        return;
      case "drop":
        this.reactor.completions.push(request, Status.ok);
        return;
      case "hang":
        this.#hang(request);
        return;
      case "torn":
        this.#tear(request);
        return;
      case "corrupt":
        if (request.operation === Operation.read) this.#corruptRead(request);
        else this.#corruptWrite(request);
        return;
      default:
        unreachable(kind);
    }
  }

  #fail(request: Request, errorOffset: number): void {
    const { status } = this.#settings;
    if (status === Status.mediaError) request.errorOffset = errorOffset;
    this.reactor.completions.push(request, status);
  }

  #tear(victim: Request): void {
    const task = this.#take(victim);
    const missing = victim.offset + task.tear(this.#prng, this.info.blockSizeBytes);
    const { status } = this.#settings;
    task.endStatus = status;
    if (status === Status.mediaError) victim.errorOffset = missing;
    if (task.nextPart()) {
      this.below.submit(task);
      return;
    }
    this.#give(task);
    this.reactor.completions.push(victim, status);
  }

  /** Reads into the reader's memory, or where it has none, into memory that is lent to it. */
  #corruptRead(victim: Request): void {
    const task = this.#take(victim);
    task.flipFrom = this.#firstStruck(victim) - victim.offset;
    task.flipTo = this.#endStruck(victim) - victim.offset;
    task.flags &= ~RequestFlag.mayLend;
    if (victim.segments.lengthBytes === victim.length) task.segments.copyFrom(victim.segments);
    else if (!task.acquire(this.reactor, victim.length)) {
      this.#spare(task, victim);
      return;
    }
    this.below.submit(task);
  }

  /** The data has come: changes it, and hands it over. */
  #spoil(task: FaultTask, victim: Request): void {
    task.flip(this.reactor, this.#prng);
    const buffer = task.buffers.pop();
    if (buffer === undefined) return;
    victim.segments.copyFrom(task.segments);
    victim.lent = true;
    this.#lentBuffers.set(victim, buffer);
  }

  #corruptWrite(victim: Request): void {
    const task = this.#take(victim);
    if (!task.acquire(this.reactor, victim.segments.lengthBytes)) {
      this.#spare(task, victim);
      return;
    }
    task.copyFromVictim(this.reactor);
    // Of a compare-and-write, the second half is what is written.
    const start = victim.segments.lengthBytes - victim.length - victim.offset;
    task.flipFrom = start + this.#firstStruck(victim);
    task.flipTo = start + this.#endStruck(victim);
    task.flip(this.reactor, this.#prng);
    this.below.submit(task);
  }

  /** There is no memory for it: the fault did not happen. */
  #spare(task: FaultTask, victim: Request): void {
    this.#give(task);
    this.#spared++;
    this.#left++;
    this.#injected[victim.operation] = (this.#injected[victim.operation] as number) - 1;
    this.pass(victim);
  }

  /** On the device: the first byte of the request that the range covers. */
  #firstStruck({ offset }: Request): number {
    return Math.max(offset, this.#settings.range?.offset ?? 0);
  }

  #endStruck({ offset, length }: Request): number {
    return Math.min(offset + length, this.#settings.range?.end ?? Number.POSITIVE_INFINITY);
  }

  #hang(request: Request): void {
    request.next = null;
    if (this.#hungLast === null) this.#hungFirst = request;
    else this.#hungLast.next = request;
    this.#hungLast = request;
    this.#hung++;
  }

  #releaseHung(stays: (request: Request) => boolean): void {
    let request = this.#hungFirst;
    this.#hungFirst = null;
    this.#hungLast = null;
    this.#hung = 0;
    while (request !== null) {
      const { next } = request;
      request.next = null;
      if (stays(request)) this.#hang(request);
      else this.pass(request);
      request = next;
    }
  }

  #take(victim: Request): FaultTask {
    const task = this.#freeTasks.pop() ?? new FaultTask(this);
    task.standFor(victim);
    return task;
  }

  #give(task: FaultTask): void {
    task.releaseBuffers();
    task.victim = null;
    this.#freeTasks.push(task);
  }
}
