/**
 * `slice?offset=1MiB&length=16MiB`: see `devices/slice.ts`. Stateless.
 */

import { SliceFilter } from "../../devices/slice.ts";
import type { CallStage } from "../ast.ts";
import { formatStage } from "../formatter.ts";
import type { StageOptions } from "../stage-options.ts";
import type { FilterPlan, OptionHelp } from "../stage-plan.ts";

export const SLICE_OPTIONS: readonly OptionHelp[] = [
  { key: "offset", value: "SIZE", text: "where it begins; default 0B" },
  { key: "length", value: "SIZE", text: "default: all that follows" },
];

/** The smallest block size: what is finer fits no device. */
const SECTOR_BYTES = 512;

export function planSlice(_text: string, stage: CallStage, options: StageOptions): FilterPlan {
  const offset = options.size("offset", { fallback: 0 });
  const length = options.size("length", { minBytes: SECTOR_BYTES, fallback: undefined });
  for (const [key, value] of Object.entries({ offset, length: length ?? 0 })) {
    if (value % SECTOR_BYTES === 0) continue;
    throw options.refuse(key, `${value} bytes, expected a multiple of ${SECTOR_BYTES}`);
  }
  const name = formatStage(stage);
  return {
    fixedBecause: "slice changes the size, and where data lies",
    open: async (_context, below) => new SliceFilter(below, name, { offset, length }),
  };
}
