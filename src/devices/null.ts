/**
 * NullDevice: `null:///name?size=1TiB`. Reads give zeroes, writes vanish: what is left is the cost
 * of everything around it. Holds no state; in flight: completions only.
 */

import { Device } from "../block/device.ts";
import { type ExtentList, ExtentFlag } from "../block/extents.ts";
import { Operation, type OperationTable, Support } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { zeroSegments } from "../block/segment-copy.ts";
import { Status } from "../block/status.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { checkMemorySize, memoryDeviceInfo } from "./memory-info.ts";

/** Nothing volatile is ever lost, so all null devices are the same instance for ever. */
const INSTANCE_ID = "00000000-0000-4000-8000-000000000000";

export interface NullOptions {
  /** The URI's path, for listings. */
  readonly name: string;
  readonly sizeBytes: number;
  /** 512 (default) or 4096. */
  readonly blockSizeBytes?: number;
  readonly readOnly?: boolean;
}

export class NullDevice extends Device {
  /** @throws PenstockError `size-invalid`, `block-size-invalid` */
  static async open(reactor: Reactor, options: NullOptions): Promise<NullDevice> {
    checkMemorySize(options.sizeBytes, options.blockSizeBytes ?? 512);
    return new NullDevice(reactor, options);
  }

  private constructor(reactor: Reactor, options: NullOptions) {
    const extra = { instanceId: INSTANCE_ID, lendsReads: false };
    super(reactor, memoryDeviceInfo("null", options, extra), NULL_OPERATIONS);
  }

  // hot path
  protected override start(request: Request): void {
    if (request.operation === Operation.read) {
      zeroSegments(this.reactor.io.slabs, request.segments);
    } else if (request.operation === Operation.blockStatus) {
      const extents = request.extents as ExtentList; // checked by submit
      extents.clear();
      extents.push(request.length, ExtentFlag.hole | ExtentFlag.zero);
    }
    this.reactor.completions.push(request, Status.ok);
  }

  protected override async release(): Promise<void> {}
}

const NULL_OPERATIONS: OperationTable = {
  read: Support.native,
  write: Support.native,
  flush: Support.native,
  discard: Support.native,
  writeZeroes: Support.native,
  compare: Support.refuse,
  compareAndWrite: Support.refuse,
  blockStatus: Support.native,
};
