/**
 * A pipe's text turned into plans of all its stages: source, filters in order, share.
 *
 * Pure: no I/O. Whatever is wrong with the text is found here, before anything is opened.
 */

import { formatSocketAddress } from "../reactor/io-errors.ts";
import { PenstockError } from "../util/errors.ts";
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

/**
 * Plans pipes that are to run together. All before any is opened, so that a mistake in the last
 * one does not touch the first.
 * @throws GrammarError, or PenstockError `export-exists` when two would be one share
 */
export function planPipes(texts: readonly string[]): PipePlan[] {
  const plans = texts.map(planPipe);
  const taken = new Set<string>();
  for (const { share } of plans) {
    const { address, exportName } = share;
    // Each share that asks for any free port gets one of its own.
    if (address.kind === "tcp" && address.port === 0) continue;
    const shown = formatSocketAddress(address);
    const key = `${shown} ${exportName}`;
    if (taken.has(key)) {
      throw new PenstockError({
        code: "export-exists",
        message: `two pipes share "${exportName}" on ${shown}, expected different names`,
        details: { address: shown, exportName },
      });
    }
    taken.add(key);
  }
  return plans;
}

function stageAt(pipe: Pipe, index: number): Stage {
  return pipe.stages.at(index) as Stage; // the parser gives at least two stages
}
