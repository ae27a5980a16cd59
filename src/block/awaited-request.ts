/**
 * AwaitedRequest: a request that a promise waits for. For control paths and rare slow paths; the
 * hot path has requests of its own.
 */

import type { Device } from "./device.ts";
import type { Operation } from "./operation.ts";
import { Request } from "./request.ts";
import type { Status } from "./status.ts";

export class AwaitedRequest extends Request {
  #settle: ((status: Status) => void) | null = null;
  #device: Device | null = null;

  /** Submits; settles, outside of the turn, with the status. Segments are the caller's to fill. */
  run(
    device: Device,
    what: { operation: Operation; offset?: number; length?: number; flags?: number },
  ): Promise<Status> {
    this.operation = what.operation;
    this.offset = what.offset ?? 0;
    this.length = what.length ?? 0;
    this.flags = what.flags ?? 0;
    this.#device = device;
    return new Promise((resolve) => {
      this.#settle = resolve;
      device.submit(this);
    });
  }

  override complete(): void {
    const settle = this.#settle;
    const { status } = this;
    this.#settle = null;
    this.#device?.reactor.deliverLater(() => settle?.(status));
  }
}
