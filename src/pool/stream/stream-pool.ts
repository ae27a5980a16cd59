/** What sending and receiving need of a pool. */

import type { Pool } from "../pool.ts";

export type StreamPool = Pick<
  Pool,
  | "volume"
  | "snapshots"
  | "properties"
  | "setProperties"
  | "openVolume"
  | "createVolume"
  | "resizeVolume"
  | "deleteVolume"
  | "createSnapshot"
  | "cloneSnapshot"
  | "rollback"
  | "diff"
>;
