/** Whether this run may take its time: `npm run test:long` sets PENSTOCK_LONG=1. Constant. */

export const LONG_RUN: boolean = process.env.PENSTOCK_LONG === "1";

/** One count for the everyday run, a bigger one for the long one. */
export function forLongRun<T>(everyday: T, long: T): T {
  return LONG_RUN ? long : everyday;
}
