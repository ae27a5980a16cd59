/**
 * The texts that the library takes, turned into plans: a pipe without its share, and a share alone.
 * Pure.
 */

import type { Stage } from "../pipe/ast.ts";
import type { ComposedPlan } from "../pipe/composer.ts";
import { formatPipe, formatStage } from "../pipe/formatter.ts";
import { GrammarError } from "../pipe/grammar-error.ts";
import { parsePipe } from "../pipe/grammar.ts";
import { planBranch, planShare, SHARES } from "../pipe/registry.ts";
import type { SharePlan } from "../pipe/share-plan.ts";

/** @throws GrammarError */
export function planUnshared(text: string): ComposedPlan {
  const pipe = parsePipe(text);
  const last = pipe.stages.at(-1) as Stage; // the parser gives one at least
  const isShare = last.kind === "uri" && SHARES.some(({ scheme }) => scheme === last.scheme);
  if (isShare && pipe.stages.length > 1) {
    const message =
      `found ${last.scheme}:// as the last stage, expected a pipe without a share: ` +
      `open it without, then device.share("${formatStage(last)}")`;
    throw new GrammarError({ code: "unexpected-share", text, span: last.span, message });
  }
  return { branch: planBranch(text, pipe.stages), shareText: formatPipe(pipe) };
}

/** @throws GrammarError */
export function planShareAlone(text: string): SharePlan {
  const { stages, span } = parsePipe(text);
  const [stage, second] = stages as [Stage, Stage?]; // the parser gives one at least
  if (second !== undefined) {
    const message = `found ${stages.length} stages, expected one share: nbd://127.0.0.1:0/name`;
    throw new GrammarError({ code: "not-one-stage", text, span, message });
  }
  return planShare(text, stage);
}
