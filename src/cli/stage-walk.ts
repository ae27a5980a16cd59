/** The stages of a pipe in the order in which listings show them. Pure. */

import type { StageListing } from "../pipe/replumb.ts";

/** Legs before what stands on them. */
export function* allStages(stages: readonly StageListing[]): Generator<StageListing> {
  for (const stage of stages) {
    for (const leg of stage.legs) yield* allStages(leg);
    yield stage;
  }
}
