/**
 * Filter: a device on top of another one.
 *
 *   submitter --submit--> filter --pass--> below       (the same request object goes down ...)
 *   submitter <--finish-- filter <--passed-- below     (... and comes back up)
 *
 * A filter that only watches, delays or shifts requests passes them on as they are: no second
 * object, no copy. One that changes data, or needs several requests for one, makes requests of its
 * own and submits them to `below`. It declares for every operation pass, translate or refuse. It
 * does not close what is below.
 */

import { Device, type DeviceInfo } from "./device.ts";
import type { Joint } from "./joint.ts";
import { type OperationTable, Support } from "./operation.ts";
import type { Request } from "./request.ts";
import type { Status } from "./status.ts";

export abstract class Filter extends Device {
  /** Where requests go on; what it leads to may change while the filter is open. */
  readonly below: Joint;

  constructor(below: Joint, info: DeviceInfo, operations: OperationTable) {
    super(below.reactor, info, operations);
    this.below = below;
  }

  /** Sends a request given to `start` on as it is; `passed` gets it back. Hot path. */
  protected pass(request: Request): void {
    request.passedBy(this);
    this.below.submitChecked(request);
  }

  /**
   * A passed request is back, in the reactor's turn, and belongs to the filter again: to `finish`
   * (in the end, once), or to `pass` again. Must not throw. Hot path.
   */
  passed(request: Request, status: Status): void {
    request.finish(status);
  }

  override followSize(): void {
    this.takeSize(this.sizeOver(this.below.info.sizeBytes));
  }

  /** Its size over a device of `sizeBytes`. */
  protected sizeOver(sizeBytes: number): number {
    return sizeBytes;
  }

  protected override async release(): Promise<void> {
    // What is below belongs to whoever composed the pipe.
  }
}

/** What a filter over `below` states that changes neither size nor data. */
export function filterInfo(below: Device, kind: string, name: string): DeviceInfo {
  return { ...below.info, kind, name };
}

/** The table of a filter that passes all that the device below does. */
export function passAll(below: Device): OperationTable {
  const entries = Object.entries(below.operations) as [keyof OperationTable, Support][];
  const passed = entries.map(([name, support]) => [
    name,
    support === Support.refuse ? Support.refuse : Support.pass,
  ]);
  return Object.fromEntries(passed) as OperationTable;
}
