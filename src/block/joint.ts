/**
 * Joint: where two stages of a pipe meet, and can be taken apart while I/O runs.
 *
 *   joined --hold()--> held: requests queue --connect(device)?--> held --resume()--> joined
 *
 * Whoever stands on top (a share, a filter, a mirror) uses a joint as its device; requests go
 * through it to the device below untouched, at the cost of a call. Between `hold` and `resume`
 * they wait here in their order, bounded by what their submitters have in flight. The holder waits
 * for `below.whenIdle()` before it connects another device.
 */

import { assert } from "../util/assert.ts";
import { Device, type DeviceDetails } from "./device.ts";
import type { Request } from "./request.ts";

export class Joint extends Device {
  #below: Device;
  #held = false;
  #first: Request | null = null;
  #last: Request | null = null;
  #waiting = 0;

  constructor(below: Device) {
    super(below.reactor, below.info, below.operations);
    this.#below = below;
  }

  /** The device that requests go to. */
  get below(): Device {
    return this.#below;
  }

  get isHeld(): boolean {
    return this.#held;
  }

  /** Requests that wait here. */
  get waiting(): number {
    return this.#waiting;
  }

  // hot path
  override submit(request: Request): void {
    if (this.#held) this.#enqueue(request);
    else this.#below.submit(request);
  }

  // hot path
  override submitChecked(request: Request): void {
    if (this.#held) this.#enqueue(request);
    else this.#below.submitChecked(request);
  }

  /** From now on requests wait here. */
  hold(): void {
    assert(!this.#held, "one change of a joint at a time");
    this.#held = true;
  }

  /**
   * Requests will go to `device`, which states the same size, block size and operations.
   * Only while held, and with nothing on its way through this joint.
   */
  connect(device: Device): void {
    assert(this.#held, "a joint is held while its device changes");
    assert(device.info.sizeBytes === this.info.sizeBytes, "a stage put in keeps the size");
    assert(device.info.blockSizeBytes === this.info.blockSizeBytes, "... and the block size");
    assert(device.info.lendsReads === this.info.lendsReads, "... and lends as before");
    this.#below = device;
  }

  /** Requests go on, those that waited first, in their order. */
  resume(): void {
    assert(this.#held, "only a held joint is resumed");
    this.#held = false;
    let request = this.#first;
    this.#first = null;
    this.#last = null;
    this.#waiting = 0;
    while (request !== null) {
      const { next } = request;
      request.next = null;
      this.#below.submit(request);
      request = next;
    }
  }

  override followSize(): void {
    this.info = this.#below.info;
  }

  override describe(): DeviceDetails {
    return this.#below.describe();
  }

  /** Never called: `submit` does not check, the device below does. */
  protected override start(request: Request): void {
    this.#below.submit(request);
  }

  protected override async release(): Promise<void> {
    // What is below belongs to whoever composed the pipe.
  }

  #enqueue(request: Request): void {
    assert(request.device === null, "a request is submitted once at a time");
    request.next = null;
    if (this.#last === null) this.#first = request;
    else this.#last.next = request;
    this.#last = request;
    this.#waiting++;
  }
}
