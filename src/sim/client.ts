/**
 * SimClient: submits the operations of a schedule to a device and notes each beginning and end in
 * a history, at the very moment. It does not wait: many operations may be under way, up to a
 * bound. The device comes and goes with its process (`attach`, `detach`).
 */

import { BufferRequest } from "../block/buffer-request.ts";
import type { Device } from "../block/device.ts";
import { Operation, RequestFlag } from "../block/operation.ts";
import { Status, statusName } from "../block/status.ts";
import { assert, unreachable } from "../util/assert.ts";
import type { EndOptions, History, HistoryOp } from "./history.ts";
import type { IoKind, IoStep } from "./schedule.ts";
import { putSectors, readSectors, SECTOR_BYTES } from "./sector-pattern.ts";

const IN_FLIGHT_MAX = 7;

export interface ClientOptions {
  /** Operations under way at once; more are not begun. */
  readonly inFlightMax?: number;
  readonly name: string;
  readonly history: History;
  readonly nowMs: () => number;
  readonly trace: (line: string) => void;
  /** An operation that ended so may still take effect, until the history closes it. */
  readonly isLate?: (op: HistoryOp, status: Status) => boolean;
  /**
   * Called with each answer; `errorOffset`: where it failed, bytes of the volume, or -1.
   * @returns why it must not have been this one, or null
   */
  readonly check?: (op: HistoryOp, status: Status, errorOffset: number) => string | null;
  /** Gets what `check` found. */
  readonly fail: (kind: string, message: string) => void;
}

/** Statuses that say that nothing has been done. */
const REFUSALS: ReadonlySet<Status> = new Set([
  Status.invalid,
  Status.outOfRange,
  Status.misaligned,
  Status.unsupported,
  Status.readOnly,
  Status.compareFailed,
]);

export class SimClient {
  readonly name: string;
  readonly options: ClientOptions;
  /** Of the volume that it uses now. */
  history: History;
  /** Operations that have been answered. */
  answered = 0;
  /** Longest time from an operation's beginning to its answer, virtual milliseconds. */
  slowestMs = 0;
  #device: Device | null = null;
  #free: SimRequest[] = [];
  readonly #pending = new Set<SimRequest>();
  #begun = 0;
  #session = 0;

  constructor(options: ClientOptions) {
    this.options = options;
    this.history = options.history;
    this.name = options.name;
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  /** Operations begun so far. */
  get begun(): number {
    return this.#begun;
  }

  get device(): Device | null {
    return this.#device;
  }

  /**
   * From now on operations go to `device`.
   * @param session a number for each opening of a device that reports losses to those who flush
   */
  attach(device: Device, session = 0): void {
    this.#device = device;
    this.#session = session;
    this.#free = [];
  }

  /** From now on it is a user of another volume. It has none now, and nothing under way. */
  moveTo(history: History): void {
    assert(this.#device === null && this.#pending.size === 0, "a client at rest moves");
    this.history = history;
  }

  /** No operation goes to the device any more; those under way are waited for. */
  detach(): void {
    this.#device = null;
  }

  /** The device's process is gone. @param isLate what was under way may still take effect */
  died(isLate = false): void {
    this.#device = null;
    for (const request of this.#pending) {
      if (request.op !== null) this.history.abandon(request.op, isLate);
      request.op = null;
    }
    this.#pending.clear();
    this.#free = [];
  }

  /** @returns false: there is no device, or too much under way */
  submit(step: Omit<IoStep, "at" | "client">): boolean {
    const device = this.#device;
    const { history } = this;
    const { inFlightMax = IN_FLIGHT_MAX } = this.options;
    if (device === null || this.#pending.size >= inFlightMax) return false;
    const request = this.#free.pop() ?? new SimRequest((ended) => this.#ended(ended));
    if (!request.prepare(device, step)) {
      this.#free.push(request);
      return false;
    }
    const { kind, first, count } = step;
    const expects = kind === "compare" || kind === "compare-and-write";
    const op = history.begin({
      client: this.name,
      session: this.#session,
      kind,
      first,
      count,
      fua: step.fua === 1,
      expected: expects ? history.believed.slice(first, first + count) : null,
      startMs: this.options.nowMs(),
    });
    request.op = op;
    this.#pending.add(request);
    this.#begun++;
    request.fill(device, op, history.options.stampBase ?? 0);
    const fua = op.fua ? " fua" : "";
    this.options.trace(`${this.name} ${kind}${fua} #${op.id} ${first}+${op.count} begins`);
    device.submit(request);
    return true;
  }

  #ended(request: SimRequest): void {
    const { op, status, errorOffset } = request;
    // Its process died meanwhile.
    if (op === null || !this.#pending.delete(request)) return;
    const { history } = this;
    const { isLate, check, fail, trace, nowMs } = this.options;
    const late = isLate?.(op, status) === true;
    history.end(op, { ...endOf(request, op, history.options.stampBase ?? 0), isLate: late });
    trace(`${this.name} ${op.kind} #${op.id} ends: ${statusName(status)}${late ? ", late" : ""}`);
    this.answered++;
    this.slowestMs = Math.max(this.slowestMs, nowMs() - op.startMs);
    const wrong = check?.(op, status, errorOffset) ?? null;
    if (wrong !== null) fail("answer", `operation ${op.id} (${op.kind} by ${this.name}): ${wrong}`);
    request.reset();
    if (this.#free.length < IN_FLIGHT_MAX) this.#free.push(request);
  }
}

/** One operation under way; reused. */
class SimRequest extends BufferRequest {
  op: HistoryOp | null = null;
  readonly #onEnd: (request: SimRequest) => void;

  constructor(onEnd: (request: SimRequest) => void) {
    super();
    this.#onEnd = onEnd;
  }

  /** Takes memory and says what it is; false: there is none. */
  prepare(device: Device, step: Omit<IoStep, "at" | "client">): boolean {
    this.operation = operationOf(step.kind);
    this.offset = step.first * SECTOR_BYTES;
    this.length = step.kind === "flush" ? 0 : step.count * SECTOR_BYTES;
    this.flags = step.fua === 1 ? RequestFlag.fua : 0;
    this.segments.clear();
    const lengthBytes = this.length * memoryFactor(step.kind);
    if (lengthBytes === 0) return true;
    const buffer = device.reactor.buffers.acquire(lengthBytes);
    if (buffer === null) return false;
    this.buffer = buffer;
    this.segments.push(buffer.slab.id, buffer.offset, lengthBytes);
    return true;
  }

  /** Puts what it writes and expects into its memory. */
  fill(device: Device, op: HistoryOp, stampBase: number): void {
    const { buffer } = this;
    if (buffer === null || op.kind === "read") return;
    const { bytes } = device.reactor.io.slabs.get(buffer.slab.id);
    const { expected } = op;
    const first = stampBase + op.first;
    let at = buffer.offset;
    if (expected !== null) {
      putSectors(bytes, at, first, expected);
      at += this.length;
    }
    if (op.kind === "compare") return;
    putSectors(bytes, at, first, new Int32Array(op.count).fill(op.value));
  }

  /** What a read has got, sector by sector. */
  seen(op: HistoryOp, stampBase: number): Int32Array | null {
    const { buffer } = this;
    if (op.kind !== "read" || this.status !== Status.ok || buffer === null) return null;
    return readSectors(buffer.slab.bytes, buffer.offset, stampBase + op.first, op.count);
  }

  reset(): void {
    this.op = null;
    this.buffer?.release();
    this.buffer = null;
  }

  override complete(): void {
    this.#onEnd(this);
  }
}

function endOf(request: SimRequest, op: HistoryOp, stampBase: number): EndOptions {
  const { status, errorOffset } = request;
  if (status === Status.ok) return { outcome: "ok", seen: request.seen(op, stampBase) };
  if (status === Status.dataLost) {
    return { outcome: op.kind === "flush" ? "data-lost" : "failed" };
  }
  if (status === Status.compareFailed && errorOffset >= 0) {
    return { outcome: "refused", differs: Math.floor(errorOffset / SECTOR_BYTES) };
  }
  if (REFUSALS.has(status)) return { outcome: "refused" };
  const syncs = op.kind === "flush" || (op.fua && op.kind !== "write");
  return { outcome: "failed", dooms: syncs && status === Status.mediaError };
}

function operationOf(kind: IoKind): Operation {
  switch (kind) {
    case "read":
      return Operation.read;
    case "write":
      return Operation.write;
    case "flush":
      return Operation.flush;
    case "discard":
      return Operation.discard;
    case "zeroes":
      return Operation.writeZeroes;
    case "compare":
      return Operation.compare;
    case "compare-and-write":
      return Operation.compareAndWrite;
    default:
      return unreachable(kind);
  }
}

/** How much memory an operation needs, in multiples of its length. */
function memoryFactor(kind: IoKind): number {
  if (kind === "compare-and-write") return 2;
  return kind === "read" || kind === "write" || kind === "compare" ? 1 : 0;
}
