/**
 * Requests that note when they end, and loads that keep so many of them in flight: for tests of
 * stages that hold requests back. Meant for the fake level, where time is exact.
 */

import type { Device } from "../block/device.ts";
import { ExtentList } from "../block/extents.ts";
import { Operation } from "../block/operation.ts";
import { Request } from "../block/request.ts";
import type { Reactor } from "../reactor/reactor.ts";

export interface TimedAsk {
  readonly operation?: Operation;
  readonly offset?: number;
  /** Default 4096. */
  readonly length?: number;
  readonly stream?: number;
  readonly flags?: number;
}

export class TimedRequest extends Request {
  /** On the reactor's clock; -1: not ended. */
  endMs = -1;
  /** Called in the turn. */
  onEnd: (() => void) | null = null;
  readonly #reactor: Reactor;

  /** With memory of its own where the operation needs some. */
  constructor(reactor: Reactor, ask: TimedAsk = {}) {
    super();
    this.#reactor = reactor;
    this.operation = ask.operation ?? Operation.read;
    const isFlush = this.operation === Operation.flush;
    this.offset = ask.offset ?? 0;
    this.length = isFlush ? 0 : (ask.length ?? 4096);
    this.stream = ask.stream ?? 0;
    this.flags = ask.flags ?? 0;
    if (this.operation === Operation.blockStatus) this.extents = new ExtentList();
    const factor = this.operation === Operation.compareAndWrite ? 2 : 1;
    if (DATA_OPERATIONS.includes(this.operation)) {
      const slab = reactor.io.slabs.allocate(factor * this.length);
      this.segments.push(slab.id, 0, factor * this.length);
    }
  }

  override complete(): void {
    this.endMs = this.#reactor.clock.nowMs();
    this.onEnd?.();
  }

  /** Submits it, and settles outside of the turn when it has ended. */
  run(device: Device): Promise<this> {
    return new Promise((resolve) => {
      this.onEnd = () => this.#reactor.deliverLater(() => resolve(this));
      device.submit(this);
    });
  }
}

const DATA_OPERATIONS: readonly Operation[] = [
  Operation.read,
  Operation.write,
  Operation.compare,
  Operation.compareAndWrite,
];

/** Keeps requests in flight until it is stopped. */
export class TimedLoad {
  /** Requests that have ended. */
  ended = 0;
  #isRunning = true;
  #inFlight = 0;
  #whenOver: (() => void) | null = null;

  constructor(device: Device, depth: number, ask: TimedAsk) {
    const { reactor } = device;
    for (let index = 0; index < depth; index++) {
      const request = new TimedRequest(reactor, ask);
      request.onEnd = () => {
        this.ended++;
        if (this.#isRunning) device.submit(request);
        else if (--this.#inFlight === 0) reactor.deliverLater(() => this.#whenOver?.());
      };
      this.#inFlight++;
      device.submit(request);
    }
  }

  /** No further request. Settles when those in flight have ended. */
  stop(): Promise<void> {
    this.#isRunning = false;
    return new Promise((resolve) => {
      this.#whenOver = resolve;
    });
  }
}

export function sleep(reactor: Reactor, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    reactor.clock.startTimer(delayMs, () => reactor.deliverLater(resolve));
  });
}
