/** Whether this run may take its time: `npm run test:long` sets PENSTOCK_LONG=1. Constant. */

export const LONG_RUN: boolean = process.env.PENSTOCK_LONG === "1";

/** One count for the everyday run, a bigger one for the long one. */
export function forLongRun<T>(everyday: T, long: T): T {
  return LONG_RUN ? long : everyday;
}

/** Why a test that takes much of the processor is left out; false in CI and in long runs. */
export const NOT_EVERY_DAY: string | false =
  LONG_RUN || process.env.PENSTOCK_REQUIRE_ALL === "1"
    ? false
    : "runs in CI and long runs (PENSTOCK_REQUIRE_ALL=1)";
