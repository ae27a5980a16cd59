/**
 * `delay?read=5ms&write=10ms&jitter=2ms`: see `devices/delay.ts`. Stateless.
 */

import type { Device } from "../../block/device.ts";
import { DelayFilter, type DelaySettings } from "../../devices/delay.ts";
import { assert } from "../../util/assert.ts";
import { Prng } from "../../util/prng.ts";
import type { CallStage } from "../ast.ts";
import { formatStage } from "../formatter.ts";
import type { StageOptions } from "../stage-options.ts";
import type { FilterPlan, OptionHelp } from "../stage-plan.ts";

export const DELAY_OPTIONS: readonly OptionHelp[] = [
  { key: "time", value: "TIME", text: "of all that is not named below; default 0ms" },
  { key: "read", value: "TIME", text: "of reads and compares" },
  { key: "write", value: "TIME", text: "of all that changes data" },
  { key: "flush", value: "TIME", text: "of flushes" },
  { key: "jitter", value: "TIME", text: "up to so much longer or shorter; timers are 2ms late" },
];

/** A client's patience is shorter. */
const DELAY_MS_MAX = 3_600_000;

export function planDelay(_text: string, stage: CallStage, options: StageOptions): FilterPlan {
  const settings = readSettings(options);
  const name = formatStage(stage);
  return {
    fixedBecause: null,
    open: async ({ instanceSeed }, below) => {
      const prng = new Prng(`delay ${instanceSeed} ${stage.span.offset}`);
      return new DelayFilter(below, name, settings, prng);
    },
    change(device: Device) {
      assert(device instanceof DelayFilter, "a plan changes what a plan of its kind opened");
      device.change(settings);
    },
  };
}

function readSettings(options: StageOptions): DelaySettings {
  const duration = (key: string, fallback: number): number =>
    options.duration(key, { maxMs: DELAY_MS_MAX, fallback });
  const timeMs = duration("time", 0);
  return {
    readMs: duration("read", timeMs),
    writeMs: duration("write", timeMs),
    flushMs: duration("flush", timeMs),
    statusMs: timeMs,
    jitterMs: duration("jitter", 0),
  };
}
