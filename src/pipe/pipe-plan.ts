/**
 * A pipe's text turned into plans of all its stages: source, filters in order, share.
 *
 * Pure: no I/O. Whatever is wrong with the text is found here, before anything is opened.
 */

import type { CallStage, Stage } from "./ast.ts";
import { formatPipe, formatStage } from "./formatter.ts";
import { GrammarError } from "./grammar-error.ts";
import { parsePipe } from "./grammar.ts";
import { planBranch, planFilter, planShare } from "./registry.ts";
import { shareExistsError, shareIdentity, type SharePlan } from "./share-plan.ts";
import { StageOptions } from "./stage-options.ts";
import type { BranchPlan, FilterPlan } from "./stage-plan.ts";

export interface PipePlan {
  /** Canonical; secrets stand in it by reference only. */
  readonly text: string;
  /** Source and filters. */
  readonly branch: BranchPlan;
  readonly share: SharePlan;
  readonly shareStage: Stage;
  /** The canonical text of the share's stage: what the pipe is called where others meet it. */
  readonly shareText: string;
}

/** @throws GrammarError, and nothing else */
export function planPipe(text: string): PipePlan {
  const pipe = parsePipe(text, { needsShare: true });
  const shareStage = pipe.stages.at(-1) as Stage; // the parser gives at least two stages
  const branch = planBranch(text, pipe.stages.slice(0, -1));
  const share = planShare(text, shareStage);
  refuseSharedReservations(text, { branch, share, shareStage });
  return { text: formatPipe(pipe), branch, share, shareStage, shareText: formatStage(shareStage) };
}

/** Another engine that serves the device would not know of them. */
function refuseSharedReservations(
  text: string,
  { branch, share, shareStage }: Pick<PipePlan, "branch" | "share" | "shareStage">,
): void {
  const isKept = share.kind === "nvmf" && share.reservationsPath !== undefined;
  if (!isKept || branch.source.isShared !== true) return;
  const reason = "found it over a source with shared=1, whose namespaces have no reservations";
  throw new StageOptions(text, shareStage).refuse("reservations", reason);
}

/**
 * Plans one filter on its own, to be put into a pipe that runs.
 * @throws GrammarError
 */
export function planOneFilter(text: string): { plan: FilterPlan; stage: CallStage } {
  const { stages, span } = parsePipe(text, { needsShare: false });
  const [stage, second] = stages as [Stage, Stage?]; // the parser gives at least one stage
  if (second !== undefined) {
    const message = `found ${stages.length} stages, expected one filter`;
    throw new GrammarError({ code: "not-one-stage", text, span, message });
  }
  const plan = planFilter(text, stage);
  return { plan, stage: stage as CallStage }; // planFilter has refused all else
}

/**
 * Plans pipes that are to run together. All before any is opened, so that a mistake in the last
 * one does not touch the first.
 * @throws GrammarError, PenstockError `export-exists`, `namespace-exists`: two would be one
 */
export function planPipes(texts: readonly string[]): PipePlan[] {
  const plans = texts.map(planPipe);
  const taken = new Set<string>();
  for (const { share } of plans) {
    const identity = shareIdentity(share);
    if (identity === null) continue;
    if (taken.has(identity)) throw shareExistsError(share);
    taken.add(identity);
  }
  return plans;
}
