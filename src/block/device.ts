/**
 * Device: the one contract between sources, filters and shares.
 *
 * A device belongs to one reactor. `submit` checks the request against what the device declares,
 * once, so that `start` (the device's own part) can rely on it. Bad requests complete with a
 * status, through the reactor's completion ring, never inside `submit`.
 *
 *   open --close()--> closing (new requests: not-ready) --last one ended--> closed
 */

import type { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { Meter } from "./meter.ts";
import {
  OPERATION_COUNT,
  type OperationTable,
  Operation,
  RequestFlag,
  Support,
} from "./operation.ts";
import type { Request } from "./request.ts";
import { Status } from "./status.ts";

/** Largest transfer of one request; protocols split above it. */
export const TRANSFER_BYTES_MAX = 1024 * 1024;

/** What a device states about itself. Fixed while it is open, but for `sizeBytes` (resize). */
export interface DeviceInfo {
  /** The stage that made it, canonical, without secrets: "file:///var/lib/x.img". */
  readonly name: string;
  /** "file", "malloc", "mirror", ... */
  readonly kind: string;
  readonly sizeBytes: number;
  /** 512 or 4096: offsets and lengths are multiples of it. */
  readonly blockSizeBytes: number;
  readonly physicalBlockSizeBytes: number;
  readonly optimalIoBytes: number;
  readonly maxTransferBytes: number;
  readonly readOnly: boolean;
  /** True when acknowledged writes need a flush to survive power loss. */
  readonly volatileCache: boolean;
  /** Smaller discards may be ignored... but still read as zeroes. */
  readonly discardGranularityBytes: number;
  /** UUID that changes whenever volatile data of the device may have been lost. */
  readonly instanceId: string;
  /** True: reads flagged `mayLend` come back with the device's own memory. */
  readonly lendsReads: boolean;
}

/** JSON values by name. */
export type DeviceDetails = Readonly<Record<string, unknown>>;

interface IdleWaiter {
  /** Waits for lent memory too. */
  readonly forLent: boolean;
  resolve(): void;
}

export abstract class Device {
  readonly reactor: Reactor;
  /** Replaced as a whole, by `takeSize` only. */
  info: DeviceInfo;
  readonly operations: OperationTable;
  /** What it has done so far. */
  readonly meter: Meter;
  /** Reads whose lent memory has not come back. */
  lent = 0;
  #closed: Promise<void> | null = null;
  /** Called, outside of the turn, when nothing is in flight: see `whenIdle` and `close`. */
  #waiters: IdleWaiter[] = [];

  constructor(reactor: Reactor, info: DeviceInfo, operations: OperationTable) {
    assert(info.blockSizeBytes === 512 || info.blockSizeBytes === 4096, "block size 512 or 4096");
    assert(info.sizeBytes % info.blockSizeBytes === 0, "size is a multiple of the block size");
    assert(info.maxTransferBytes <= TRANSFER_BYTES_MAX, "maxTransfer at most 1 MiB");
    this.reactor = reactor;
    this.info = info;
    this.operations = operations;
    this.meter = new Meter(reactor.clock, gateOf(operations));
  }

  /** Requests submitted and not ended. */
  get inFlight(): number {
    return this.meter.inFlight;
  }

  /** Starts `request`; it completes later, exactly once. Hot path. */
  submit(request: Request): void {
    assert(request.device === null, "a request is submitted once at a time");
    assert(!request.lent, "lent memory is returned before the request is used again");
    request.device = this;
    request.errorOffset = -1;
    let status = this.meter.started(request);
    if (status === Status.ok) status = check(request, this.info);
    if (status === Status.ok) this.start(request);
    else this.reactor.completions.push(request, status);
  }

  /**
   * As `submit`, for a request that a filter passes on and that was checked above against the same
   * limits, or narrower ones. Hot path.
   */
  submitChecked(request: Request): void {
    request.device = this;
    request.errorOffset = -1;
    const status = this.meter.started(request);
    if (status === Status.ok) this.start(request);
    else this.reactor.completions.push(request, status);
  }

  /**
   * Refuses new requests, waits for those in flight, then lets go of what the device holds.
   * Idempotent: later calls return the same promise.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** Does a checked request. Completes it by `request.finish` or the completion ring. */
  protected abstract start(request: Request): void;

  /** Gives up what the device holds; nothing is in flight any more. */
  protected abstract release(): Promise<void>;

  /** Called by `Request.finish`. Hot path. */
  requestEnded(request: Request, status: Status): void {
    const inFlight = this.meter.ended(request, status);
    if (request.lent) {
      this.lent++;
      request.lentBy(this);
    }
    if (inFlight === 0 && this.#waiters.length > 0) this.#wakeWaiters();
  }

  /** Called by `Request.returnLent`; the request has its memory no more. */
  lentReturned(_request: Request): void {
    this.lent--;
    if (this.#waiters.length > 0) this.#wakeWaiters();
  }

  /** Settles at a moment without a request in flight; memory that is lent may still be out. */
  whenIdle(): Promise<void> {
    return this.#wait(false);
  }

  /** What listings and graphs show of it besides `info`: JSON values, no secrets. */
  describe(): DeviceDetails {
    return {};
  }

  /**
   * Makes it larger, or takes the size that its medium has by now. Whoever stands on it is told by
   * the caller, bottom up (`followSize`). Nothing changes when it fails.
   * @throws PenstockError `resize-unsupported`, `size-invalid`, or what the medium reported
   */
  grow(sizeBytes: number): Promise<void> {
    const { kind, name } = this.info;
    return Promise.reject(
      new PenstockError({
        code: "resize-unsupported",
        message: `${name} keeps its size: a source of kind ${kind} cannot grow`,
        details: { kind, sizeBytes },
      }),
    );
  }

  /** The size that its medium has by now, as far as it can know: what `grow` could take. */
  mediumBytes(): Promise<number> {
    return Promise.resolve(this.info.sizeBytes);
  }

  /** What is below has another size: takes it. In or outside of the turn. */
  followSize(): void {
    // A source has nothing below.
  }

  /** States another size from now on. */
  protected takeSize(sizeBytes: number): void {
    this.info = { ...this.info, sizeBytes };
  }

  /** After this long without an answer from below it acts (a mirror drops the child), in ms. */
  get patienceMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  /**
   * Lets go at once of the requests that it holds back of its own accord (delayed, limited, hung by
   * order): it is about to be taken out of its pipe, or closes. Later ones are held as before.
   */
  hurry(): void {
    // Most devices hold nothing back.
  }

  async #close(): Promise<void> {
    this.meter.gate = CLOSED_GATE;
    this.hurry();
    await this.#wait(true);
    await this.release();
  }

  async #wait(forLent: boolean): Promise<void> {
    if (this.inFlight === 0 && !(forLent && this.lent > 0)) return;
    await new Promise<void>((resolve) => {
      this.#waiters.push({ forLent, resolve });
    });
  }

  #wakeWaiters(): void {
    if (this.inFlight > 0) return;
    const ready = this.#waiters.filter(({ forLent }) => !forLent || this.lent === 0);
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter(({ forLent }) => forLent && this.lent > 0);
    // A turn runs bare: no microtask follows it, so a promise is never settled inside of it.
    for (const { resolve } of ready) this.reactor.deliverLater(resolve);
  }
}

/** True when the operation changes what the device holds. */
export function modifies(operation: Operation): boolean {
  return (
    operation === Operation.write ||
    operation === Operation.writeZeroes ||
    operation === Operation.discard ||
    operation === Operation.compareAndWrite
  );
}

/** The range, the flags and the memory of a request, against what a device states. Hot path. */
function check(request: Request, info: DeviceInfo): Status {
  const { operation, offset, length } = request;
  if (operation === Operation.flush) return length === 0 ? Status.ok : Status.invalid;
  if (info.readOnly && modifies(operation)) return Status.readOnly;
  const mask = info.blockSizeBytes - 1;
  // Offsets may exceed 2^31: masks work on the low bits only, which is all that is asked here.
  if (((offset % 4294967296) & mask) !== 0 || (length & mask) !== 0) return Status.misaligned;
  if (!(length > 0) || !(offset >= 0)) return Status.invalid;
  if (offset + length > info.sizeBytes) return Status.outOfRange;
  if (carriesData(operation)) return checkData(request, info);
  return operation === Operation.blockStatus && request.extents === null
    ? Status.invalid
    : Status.ok;
}

function carriesData(operation: Operation): boolean {
  return (
    operation === Operation.read ||
    operation === Operation.write ||
    operation === Operation.compare ||
    operation === Operation.compareAndWrite
  );
}

function checkData(request: Request, info: DeviceInfo): Status {
  if (request.length > info.maxTransferBytes) return Status.invalid;
  const factor = request.operation === Operation.compareAndWrite ? 2 : 1;
  if (request.segments.lengthBytes === factor * request.length) return Status.ok;
  const mayLend = info.lendsReads && (request.flags & RequestFlag.mayLend) !== 0;
  const lends = mayLend && request.operation === Operation.read;
  return lends && request.segments.count === 0 ? Status.ok : Status.invalid;
}

function gateOf(table: OperationTable): readonly Status[] {
  const gate = new Array<Status>(OPERATION_COUNT).fill(Status.unsupported);
  for (const [name, support] of Object.entries(table)) {
    const isSupported = support !== Support.refuse;
    if (isSupported) gate[Operation[name as keyof typeof Operation]] = Status.ok;
  }
  return gate;
}

/** Of a device that closes. */
const CLOSED_GATE: readonly Status[] = new Array<Status>(OPERATION_COUNT).fill(Status.notReady);
