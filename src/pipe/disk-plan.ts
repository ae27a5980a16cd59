/**
 * The text of one disk of a pool: the first stage of a pipe, on its own. Pure.
 */

import type { UriStage } from "./ast.ts";
import { formatPipe } from "./formatter.ts";
import { parsePipe } from "./grammar.ts";
import { GrammarError } from "./grammar-error.ts";
import { planBranch } from "./registry.ts";
import type { SourcePlan } from "./stage-plan.ts";

/** What keeps what it has over restarts; and memory, for trials. */
const DISK_SCHEMES: readonly string[] = ["file", "nbd", "nbd+unix", "nvmf", "malloc"];

/** Of a file: makes it, or makes it larger. */
const SIZE_OPTION = "size";

export interface DiskPlan {
  /** Canonical. */
  readonly text: string;
  /** As it is opened later on: a file must be there, in whatever size it has by then. */
  readonly keptText: string;
  readonly stage: UriStage;
  readonly source: SourcePlan;
}

/** @throws GrammarError `not-one-stage`, `not-a-disk`, and those of the stage */
export function planDisk(text: string): DiskPlan {
  const pipe = parsePipe(text, { needsShare: false });
  const [stage, second] = pipe.stages;
  if (stage === undefined || second !== undefined) {
    const message = `found ${pipe.stages.length} stages, expected one source: /dev/sdb`;
    throw new GrammarError({ code: "not-one-stage", text, span: pipe.span, message });
  }
  if (stage.kind === "call" || !DISK_SCHEMES.includes(stage.scheme)) {
    const found = stage.kind === "call" ? stage.name : `${stage.scheme}://`;
    const expected = DISK_SCHEMES.map((scheme) => `${scheme}://`).join(", ");
    const message = `found ${found} as a disk of a pool, expected a path or one of ${expected}`;
    const span = stage.kind === "call" ? stage.nameSpan : spanOf(stage);
    throw new GrammarError({ code: "not-a-disk", text, span, message });
  }
  const { source } = planBranch(text, [stage]);
  if (source.isShared === true) {
    const option = stage.options.find(({ key }) => key === "shared");
    const message = "found shared=1, expected disks that nobody else writes";
    throw new GrammarError({
      code: "not-a-disk",
      text,
      span: option?.span ?? stage.span,
      message,
    });
  }
  const unlabelled = { ...stage, label: undefined };
  const textOf = (one: UriStage): string => formatPipe({ ...pipe, stages: [one] });
  const options = stage.options.filter(({ key }) => key !== SIZE_OPTION);
  const kept = stage.scheme === "file" ? { ...unlabelled, options } : unlabelled;
  return { text: textOf(unlabelled), keptText: textOf(kept), stage: unlabelled, source };
}

function spanOf(stage: UriStage): UriStage["span"] {
  return stage.schemeSpan.length === 0 ? stage.pathSpan : stage.schemeSpan;
}
