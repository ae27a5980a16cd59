/**
 * Tap: a stage of another pipe, read a second time. Read-only; writes of the other pipe show.
 *
 * What is tapped below a `crypt` is moved without being decrypted. Holds no state; in flight: the
 * requests that it has passed.
 */

import type { DeviceDetails } from "../block/device.ts";
import { Filter } from "../block/filter.ts";
import type { Joint } from "../block/joint.ts";
import { type OperationTable, Support } from "../block/operation.ts";
import type { Request } from "../block/request.ts";

export interface TapOptions {
  /** The URI, for listings: "tap:///raw". */
  readonly name: string;
  /** Called once, when the tap is closed. */
  onClosed(): void;
}

export class Tap extends Filter {
  readonly #onClosed: () => void;

  constructor(tapped: Joint, { name, onClosed }: TapOptions) {
    const info = { ...tapped.info, name, kind: "tap", readOnly: true, volatileCache: false };
    super(tapped, info, tableOver(tapped.operations));
    this.#onClosed = onClosed;
  }

  // hot path
  protected override start(request: Request): void {
    this.pass(request);
  }

  override describe(): DeviceDetails {
    return { tapped: this.below.info.name };
  }

  protected override async release(): Promise<void> {
    this.#onClosed();
  }
}

/** Refuses what changes data. A flush is the writer's business, and has nothing to do here. */
function tableOver({ read, blockStatus, compare }: OperationTable): OperationTable {
  const passed = (support: Support): Support =>
    support === Support.refuse ? Support.refuse : Support.pass;
  return {
    read: passed(read),
    blockStatus: passed(blockStatus),
    compare: passed(compare),
    write: Support.refuse,
    flush: Support.refuse,
    discard: Support.refuse,
    writeZeroes: Support.refuse,
    compareAndWrite: Support.refuse,
  };
}
