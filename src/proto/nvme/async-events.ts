/**
 * AsyncEvents: the async event requests of one controller, and the events that wait for them.
 *
 *   raise --a request waits--> reported, masked --log page read without RAE--> may be raised anew
 *     +--none waits--> pending --request--> reported, masked
 *
 * One event per log page is enough: the page tells all that has happened. So both are bounded.
 *
 * spec: NVMe Base 2.0 5.2 (Asynchronous Event Request)
 */

import { asyncEventResult } from "./constants.ts";
import { DNR, NvmeStatus } from "./status.ts";
import type { SlowCommand } from "./transport.ts";

/** AERL is one less. */
export const ASYNC_EVENT_REQUESTS_MAX = 4;

export class AsyncEvents {
  /** Feature 0x0B: `AsyncEventConfig` bits, which events are raised; set by the host. */
  config = 0;
  #requests: SlowCommand[] = [];
  /** Results (DW0) by log page. */
  readonly #pending = new Map<number, number>();
  /** Log pages whose event was reported and that were not read since. */
  readonly #masked = new Set<number>();

  /** Takes the request, to be answered when there is an event. */
  request(command: SlowCommand): void {
    if (this.#requests.length >= ASYNC_EVENT_REQUESTS_MAX) {
      command.complete(NvmeStatus.asyncEventLimitExceeded | DNR);
      return;
    }
    this.#requests.push(command);
    this.#report();
  }

  /** Something has happened of which `logPage` tells more. */
  raise(type: number, information: number, logPage: number): void {
    if (this.#masked.has(logPage)) return;
    this.#pending.set(logPage, asyncEventResult(type, information, logPage));
    this.#report();
  }

  /** The host has read the page. @param retains RAE: it wants the event to stay as it is */
  logRead(logPage: number, retains: boolean): void {
    if (retains) return;
    this.#masked.delete(logPage);
    this.#pending.delete(logPage);
  }

  /** @returns false: no request has that cid */
  abort(cid: number): boolean {
    const request = this.#requests.find(({ sqe }) => sqe.cid === cid);
    if (request === undefined) return false;
    this.#requests = this.#requests.filter((other) => other !== request);
    request.complete(NvmeStatus.abortRequested);
    return true;
  }

  /** As after a reset: nothing waits, nothing is masked, nothing is switched on. */
  reset(): void {
    const requests = this.#requests;
    this.#requests = [];
    this.#pending.clear();
    this.#masked.clear();
    this.config = 0;
    for (const request of requests) request.complete(NvmeStatus.abortedSqDeletion);
  }

  #report(): void {
    for (const [logPage, result] of this.#pending) {
      const request = this.#requests.shift();
      if (request === undefined) return;
      this.#pending.delete(logPage);
      this.#masked.add(logPage);
      request.complete(NvmeStatus.success, result);
    }
  }
}
