/** probeDisk: what is on a device, by reading only. */

import type { Device } from "../../block/device.ts";
import { assert } from "../../util/assert.ts";
import type { LabelProblem, PoolLabel } from "./label-format.ts";

export type DiskContent =
  | { readonly kind: "empty" }
  | { readonly kind: "foreign"; readonly what: string }
  | { readonly kind: "pool"; readonly label: PoolLabel; readonly damagedCopies: number }
  | { readonly kind: "damaged"; readonly problem: LabelProblem }
  | { readonly kind: "newer"; readonly bits: number };

/** For device list, create, import and inspect. */
export function probeDisk(_device: Device): Promise<DiskContent> {
  assert(false, "not written yet");
}
