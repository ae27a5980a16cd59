/**
 * `log?level=all&slow=10ms`: see `devices/log.ts`. Its lines are events of the pipe. Stateless.
 */

import type { Device } from "../../block/device.ts";
import {
  LOG_LEVELS,
  LOG_RATE_DEFAULT,
  LOG_RATE_MAX,
  LogFilter,
  type LogSettings,
  type LogSink,
} from "../../devices/log.ts";
import { assert } from "../../util/assert.ts";
import type { CallStage } from "../ast.ts";
import { formatStage } from "../formatter.ts";
import type { StageOptions } from "../stage-options.ts";
import type { FilterPlan, OpenContext, OptionHelp } from "../stage-plan.ts";

export const LOG_OPTIONS: readonly OptionHelp[] = [
  { key: "level", value: LOG_LEVELS.join("|"), text: "default all" },
  { key: "slow", value: "TIME", text: "successes only when they took as long" },
  { key: "rate", value: "NUMBER", text: `lines a second; default ${LOG_RATE_DEFAULT}` },
];

export function planLog(_text: string, stage: CallStage, options: StageOptions): FilterPlan {
  const settings: LogSettings = {
    level: options.oneOf("level", LOG_LEVELS, { fallback: "all" }),
    slowMs: options.duration("slow", { fallback: 0 }),
    rate: options.integer("rate", { min: 1, max: LOG_RATE_MAX, fallback: LOG_RATE_DEFAULT }),
  };
  const name = formatStage(stage);
  return {
    fixedBecause: null,
    open: async (context, below) => new LogFilter(below, name, settings, sinkOf(context, name)),
    change(device: Device) {
      assert(device instanceof LogFilter, "a plan changes what a plan of its kind opened");
      device.change(settings);
    },
  };
}

function sinkOf(context: OpenContext, stage: string): LogSink {
  return {
    write(message, isError) {
      context.report?.({ level: isError ? "warning" : "info", code: "log", stage, message });
    },
  };
}
