/**
 * ComposedPipe: the part of one pipe that lives on one reactor: devices bottom up, share last.
 *
 *   opening --all open--> ready --close()--> closing --> closed
 *      |                                        | flush or a device failed
 *      +--a step failed, rest undone--> failed <+
 *
 * Closing goes the other way round: the share is drained, the device flushed, then the devices
 * close, top first; each step runs whatever became of the one before, and the first failure is
 * reported. Steps run one after the other, so close() waits for an opening step to end.
 */

import { AwaitedRequest } from "../block/awaited-request.ts";
import type { Device } from "../block/device.ts";
import { Operation, Support } from "../block/operation.ts";
import { Status, statusName } from "../block/status.ts";
import type { Timer } from "../reactor/clock.ts";
import { assert } from "../util/assert.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { FirstFailure } from "../util/first-failure.ts";
import { Lane } from "../util/lane.ts";
import { Branch } from "./branch.ts";
import type { PipePlan } from "./pipe-plan.ts";
import type { ShareContext } from "./shares/share-service.ts";
import type { BranchPlan, OpenContext } from "./stage-plan.ts";

/** How often stages are told to hold nothing back while the pipe closes. */
const HURRY_MS = 50;

export type PipeState = "opening" | "ready" | "closing" | "closed" | "failed";

/** What a share looks like once it is open. */
export interface OpenedShare {
  /** Ends it: no new requests, those in flight answered. */
  close(): Promise<void>;
}

/** What of a plan is opened here. */
export interface ComposedPlan {
  readonly branch: BranchPlan;
  /** What the pipe is called in messages. */
  readonly shareText: string;
}

export class ComposedPipe<P extends ComposedPlan = PipePlan> {
  readonly plan: P;
  readonly #context: OpenContext;
  /** Source and filters, where they live on this reactor. */
  #branch: Branch | null = null;
  /** Stands for the devices where they live on another reactor, which flushes and closes them. */
  #proxy: Device | null = null;
  #share: OpenedShare | null = null;
  #state: PipeState = "opening";
  #failure: PenstockError | null = null;
  readonly #steps = new Lane();
  #closed: Promise<void> | null = null;
  #hurryTimer: Timer | null = null;

  constructor(plan: P, context: OpenContext) {
    this.plan = plan;
    this.#context = context;
  }

  get state(): PipeState {
    return this.#state;
  }

  /** Why it failed, or null. */
  get failure(): PenstockError | null {
    return this.#failure;
  }

  /** What a share serves: it stays the same when stages are put in or taken out. */
  get device(): Device {
    const device = this.#branch?.top.above ?? this.#proxy;
    assert(device !== null, "a pipe is open before its device is used");
    return device;
  }

  /** Source and filters, or null: they live on another reactor, or are closed. */
  get branch(): Branch | null {
    return this.#branch;
  }

  /** What a share on it is told. @param stage canonical text of the share's stage */
  shareContext(stage: string): ShareContext {
    return {
      isDeviceShared: this.plan.branch.source.isShared === true,
      report: (event) => this.#context.report?.({ ...event, stage }),
    };
  }

  /** Requests of the share that are in the topmost stage, or on their way to it. */
  get inFlight(): number {
    return this.#branch?.top.device.inFlight ?? this.#proxy?.inFlight ?? 0;
  }

  /** Opens source and filters, in order. */
  openDevices(): Promise<void> {
    return this.#openStep(async () => {
      this.#branch = await Branch.open(this.plan.branch, this.#context);
    });
  }

  /** Takes a device that stands for one on another reactor, instead of `openDevices`. */
  openProxy(open: () => Promise<Device>): Promise<void> {
    return this.#openStep(async () => {
      this.#proxy = await open();
    });
  }

  /** Opens the share on top of the devices. With it, or without one if there is none, `ready`. */
  openShare<T extends OpenedShare>(open: (device: Device) => Promise<T>): Promise<T> {
    return this.#openStep(async () => {
      const share = await open(this.device);
      this.#share = share;
      return share;
    });
  }

  /** Runs one change of the stages, after every step before it. */
  change<T>(step: (branch: Branch) => T | Promise<T>): Promise<T> {
    const run = async (): Promise<T> => {
      const branch = this.#branch;
      if (this.#state !== "ready" || branch === null) throw closingError(this.plan);
      return step(branch);
    };
    return this.#steps.run(run);
  }

  markReady(): void {
    if (this.#state === "opening") this.#state = "ready";
  }

  /**
   * The pipe is about to close: until it has, its stages hold nothing back for long (a request that
   * hangs by order would keep the share from ending). Idempotent.
   */
  hurry(): void {
    if (this.#branch === null || this.#hurryTimer !== null) return;
    this.#branch.hurry();
    this.#hurryTimer = this.#context.reactor.clock.startTimer(HURRY_MS, () => {
      this.#hurryTimer = null;
      this.hurry();
    });
  }

  /**
   * Idempotent: later calls return the same promise.
   * @throws PenstockError `flush-failed`, or what a device or the share reported
   */
  close(): Promise<void> {
    this.#closed ??= this.#steps.run(() => undefined).then(() => this.#close());
    return this.#closed;
  }

  #openStep<T>(step: () => Promise<T>): Promise<T> {
    const run = async (): Promise<T> => {
      if (this.#state !== "opening") throw this.#failure ?? closingError(this.plan);
      try {
        return await step();
      } catch (thrown) {
        this.#failure = toPenstockError(thrown);
        // What failed to open has nothing to lose: no flush, and later failures say less.
        await this.#closeAll({ flush: false });
        this.#state = "failed";
        throw this.#failure;
      }
    };
    return this.#steps.run(run);
  }

  async #close(): Promise<void> {
    if (this.#state === "failed") return;
    this.#state = "closing";
    const failure = await this.#closeAll({ flush: true });
    this.#state = failure === null ? "closed" : "failed";
    this.#failure = failure;
    if (failure !== null) throw failure;
  }

  /** Runs every step; the first failure. */
  async #closeAll(options: { readonly flush: boolean }): Promise<PenstockError | null> {
    const first = new FirstFailure();
    this.hurry();
    const share = this.#share;
    this.#share = null;
    if (share !== null) await first.attempt(() => share.close());
    const [branch, proxy] = [this.#branch, this.#proxy];
    if (branch !== null && options.flush) {
      await first.attempt(() => flush(branch.top.device));
    }
    this.#proxy = null;
    await first.attempt(() => branch?.close());
    this.#branch = null;
    this.#hurryTimer?.cancel();
    this.#hurryTimer = null;
    await first.attempt(() => proxy?.close());
    return first.failure;
  }
}

async function flush(device: Device): Promise<void> {
  if (device.operations.flush === Support.refuse) return;
  const status = await new AwaitedRequest().run(device, { operation: Operation.flush });
  if (status === Status.ok) return;
  throw new PenstockError({
    code: "flush-failed",
    message:
      `the last flush of ${device.info.name} failed with ${statusName(status)}: ` +
      "writes since the flush before may be lost",
    details: { device: device.info.name, status: statusName(status) },
  });
}

function closingError(plan: ComposedPlan): PenstockError {
  return new PenstockError({ code: "aborted", message: `${plan.shareText} is being closed` });
}
