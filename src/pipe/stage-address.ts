/**
 * How people point at a stage of an open pipe: by its label, or by its place: "2" is the second
 * stage, "1.3.2" the second stage of the third leg of the first. Pure look-ups, no state.
 */

import { PenstockError } from "../util/errors.ts";
import type { Branch, OpenStage } from "./branch.ts";
import type { TappedStage } from "./stage-plan.ts";

/** A stage and the branch that it stands in. */
export interface FoundStage {
  readonly branch: Branch;
  readonly stage: OpenStage;
  /** Counted from 1, with the legs on the way to it. */
  readonly place: string;
  /** The shortest patience of the mirrors in whose legs it stands, in ms. */
  readonly patienceMs: number;
}

/** Every stage, legs before what stands on them, bottom up. */
export function* walkStages(
  branch: Branch,
  prefix = "",
  patienceMs: number = Number.POSITIVE_INFINITY,
): Generator<FoundStage> {
  for (const [index, stage] of branch.stages.entries()) {
    const place = `${prefix}${index + 1}`;
    for (const [leg, below] of stage.legs.entries()) {
      const patience = Math.min(patienceMs, stage.device.patienceMs);
      yield* walkStages(below, `${place}.${leg + 1}.`, patience);
    }
    yield { branch, stage, place, patienceMs };
  }
}

/** @throws PenstockError `stage-not-found`, which names those there are */
export function findStage(branch: Branch, address: string): FoundStage {
  const all = [...walkStages(branch)];
  const found =
    all.find(({ stage }) => stage.stage.label === address) ??
    all.find(({ place }) => place === address);
  if (found !== undefined) return found;
  const known = all.map(({ stage, place }) => stage.stage.label ?? place).join(", ");
  throw new PenstockError({
    code: "stage-not-found",
    message: `found no stage "${address}", expected one of ${known}`,
    details: { address },
  });
}

/** The stage that is labelled so, for a tap; null stands for a pipe that has none here. */
export function tappedStage(
  branches: Iterable<Branch | null>,
  label: string,
): TappedStage | undefined {
  for (const branch of branches) {
    if (branch === null) continue;
    for (const { stage } of walkStages(branch)) {
      if (stage.stage.label !== label) continue;
      return {
        device: stage.device,
        claim: (tap, holder) => stage.tappedBy.set(tap, holder),
        release: (tap) => stage.tappedBy.delete(tap),
      };
    }
  }
  return undefined;
}
