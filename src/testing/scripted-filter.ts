/**
 * ScriptedFilter: a device that goes wrong as a test says, request by request: errors, delays,
 * hangs that end when the test lets go. What is held does its work when it is let go, on the
 * memory that it was given: late, as a real hung disk does. State: the requests it holds.
 */

import { Filter, filterInfo, passAll } from "../block/filter.ts";
import type { Device, DeviceInfo } from "../block/device.ts";
import { Joint } from "../block/joint.ts";
import type { OperationTable } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import type { Status } from "../block/status.ts";

/** What becomes of a request. */
export type Turn =
  | { readonly kind: "pass" }
  | { readonly kind: "fail"; readonly status: Status }
  /** Done, and answered with a status all the same. */
  | { readonly kind: "pass-and-fail"; readonly status: Status }
  | { readonly kind: "delay"; readonly delayMs: number }
  /** Until `letGo`. */
  | { readonly kind: "hang" };

export const PASS: Turn = { kind: "pass" };
export const HANG: Turn = { kind: "hang" };

export interface ScriptedOptions {
  readonly info?: Partial<DeviceInfo>;
  readonly operations?: Partial<OperationTable>;
}

export class ScriptedFilter extends Filter {
  /** Asked for each request. */
  script: (request: Request) => Turn = () => PASS;
  readonly held: Request[] = [];
  /** Requests that came. */
  started = 0;
  readonly #failing = new Map<Request, Status>();
  readonly #source: Device;

  /** Closes `source` after itself. */
  constructor(source: Device, options: ScriptedOptions = {}) {
    const below = new Joint(source);
    const info = { ...filterInfo(below, "scripted", source.info.name), ...options.info };
    super(below, info, { ...passAll(below), ...options.operations });
    this.#source = source;
  }

  /** Ends the hanging of what is held now, in order. */
  letGo(): void {
    for (const request of this.held.splice(0)) this.pass(request);
  }

  /** The same, each with an error instead of being done. */
  letGoWith(status: Status): void {
    for (const request of this.held.splice(0)) this.reactor.completions.push(request, status);
  }

  override passed(request: Request, status: Status): void {
    const failure = this.#failing.get(request);
    this.#failing.delete(request);
    request.finish(failure ?? status);
  }

  protected override start(request: Request): void {
    this.started++;
    const turn = this.script(request);
    switch (turn.kind) {
      case "pass":
        this.pass(request);
        break;
      case "fail":
        this.reactor.completions.push(request, turn.status);
        break;
      case "pass-and-fail":
        this.#failing.set(request, turn.status);
        this.pass(request);
        break;
      case "delay":
        this.reactor.clock.startTimer(turn.delayMs, () => this.pass(request));
        break;
      case "hang":
        this.held.push(request);
        break;
      default:
        turn satisfies never;
    }
  }

  protected override async release(): Promise<void> {
    await this.#source.close();
  }
}
