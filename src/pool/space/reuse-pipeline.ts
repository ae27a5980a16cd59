/** ReusePipeline: see the contract. Bodies follow. */

import { assert } from "../../util/assert.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import type { SpaceMap } from "./space-map.ts";

export interface ReusePipelineOptions {
  readonly space: SpaceMap;
  readonly disks: PoolDisks;
}

export class ReusePipeline {
  constructor(_options: ReusePipelineOptions) {
    assert(false, "written soon");
  }

  durableThrough(_sequence: number): void {
    assert(false, "written soon");
  }

  beginRead(): number {
    assert(false, "written soon");
  }

  endRead(_token: number): void {
    assert(false, "written soon");
  }
}
