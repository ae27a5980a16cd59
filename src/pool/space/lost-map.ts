/** What becomes of a pool that finds no blocks for its pages, as a page of a map is lost. */

import { Status } from "../../block/status.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";

/** Who waits for pages would wait for ever: changes fail from now on. */
export function raiseLostMap({ disks }: { readonly disks: PoolDisks }): void {
  const reason = "a page of a map of free space is lost, and there is no other space for pages";
  disks.raise({ status: Status.mediaError, reason, isSync: false });
}
