/**
 * `limit?iops=500&bandwidth=50MiB`: see `devices/limit.ts`. Stateless.
 */

import type { Device } from "../../block/device.ts";
import {
  BURST_MS_DEFAULT,
  BURST_MS_MIN,
  LimitFilter,
  type LimitSettings,
} from "../../devices/limit.ts";
import { assert } from "../../util/assert.ts";
import type { CallStage } from "../ast.ts";
import { formatStage } from "../formatter.ts";
import type { StageOptions } from "../stage-options.ts";
import type { FilterPlan, OptionHelp } from "../stage-plan.ts";

export const LIMIT_OPTIONS: readonly OptionHelp[] = [
  { key: "iops", value: "NUMBER", text: "operations per second" },
  { key: "read-iops", value: "NUMBER", text: "of reads; the common limit holds as well" },
  { key: "write-iops", value: "NUMBER", text: "of changes and flushes" },
  { key: "bandwidth", value: "SIZE", text: "bytes per second" },
  { key: "read-bandwidth", value: "SIZE", text: "of reads" },
  { key: "write-bandwidth", value: "SIZE", text: "of writes; zeroing and discarding count none" },
  { key: "burst", value: "TIME", text: "full rate for so long after a pause; default 100ms" },
];

const IOPS_MAX = 1e9;
const BANDWIDTH_MAX = 2 ** 40;
const BURST_MS_MAX = 3_600_000;

export function planLimit(_text: string, stage: CallStage, options: StageOptions): FilterPlan {
  const settings = readSettings(options);
  const name = formatStage(stage);
  return {
    fixedBecause: null,
    open: async (_context, below) => new LimitFilter(below, name, settings),
    change(device: Device) {
      assert(device instanceof LimitFilter, "a plan changes what a plan of its kind opened");
      device.change(settings);
    },
  };
}

function readSettings(options: StageOptions): LimitSettings {
  const rate = (key: string): number | undefined =>
    options.integer(key, { min: 1, max: IOPS_MAX, fallback: undefined });
  const bandwidth = (key: string): number | undefined =>
    options.size(key, { minBytes: 1, maxBytes: BANDWIDTH_MAX, fallback: undefined });
  return {
    iops: rate("iops"),
    readIops: rate("read-iops"),
    writeIops: rate("write-iops"),
    bandwidth: bandwidth("bandwidth"),
    readBandwidth: bandwidth("read-bandwidth"),
    writeBandwidth: bandwidth("write-bandwidth"),
    burstMs: options.duration("burst", {
      minMs: BURST_MS_MIN,
      maxMs: BURST_MS_MAX,
      fallback: BURST_MS_DEFAULT,
    }),
  };
}
