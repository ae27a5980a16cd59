/**
 * A pipe's text turned into plans of all its stages: source, filters in order, share.
 *
 * Pure: no I/O. Whatever is wrong with the text is found here, before anything is opened.
 */

import type { Pipe, Stage } from "./ast.ts";
import { formatPipe } from "./formatter.ts";
import { parsePipe } from "./grammar.ts";
import { planFilter, planShare, planSource } from "./registry.ts";
import type { FilterPlan, SharePlan, SourcePlan } from "./stage-plan.ts";

export interface PipePlan {
  /** Canonical; secrets stand in it by reference only. */
  readonly text: string;
  readonly source: SourcePlan;
  readonly filters: readonly FilterPlan[];
  readonly share: SharePlan;
  /** The canonical text of the share's stage: what the pipe is called where others meet it. */
  readonly shareText: string;
}

/** @throws GrammarError, and nothing else */
export function planPipe(text: string): PipePlan {
  const pipe = parsePipe(text, { needsShare: true });
  const [first, last] = [stageAt(pipe, 0), stageAt(pipe, -1)];
  const source = planSource(text, first);
  const filters = pipe.stages.slice(1, -1).map((stage) => planFilter(text, stage));
  const share = planShare(text, last);
  const shareText = formatPipe({ stages: [last], span: last.span });
  return { text: formatPipe(pipe), source, filters, share, shareText };
}

function stageAt(pipe: Pipe, index: number): Stage {
  return pipe.stages.at(index) as Stage; // the parser gives at least two stages
}
