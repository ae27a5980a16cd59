/**
 * `tap:///LABEL`: a labelled stage of another pipe of the process, read a second time. Stateless.
 */

import { Joint } from "../../block/joint.ts";
import { Tap } from "../../devices/tap.ts";
import { PenstockError } from "../../util/errors.ts";
import type { UriStage } from "../ast.ts";
import { formatStage } from "../formatter.ts";
import { GrammarError } from "../grammar-error.ts";
import type { StageOptions } from "../stage-options.ts";
import { type OptionHelp, refuseHost, type SourcePlan } from "../stage-plan.ts";

export const TAP_OPTIONS: readonly OptionHelp[] = [];

export function planTap(text: string, stage: UriStage, _options: StageOptions): SourcePlan {
  refuseHost(text, stage);
  const label = stage.path.slice(1);
  if (label === "" || label.includes("/")) {
    const message = "found no label, expected that of another pipe's stage: tap:///LABEL";
    throw new GrammarError({ code: "bad-path", text, span: stage.pathSpan, message });
  }
  const name = formatStage({ ...stage, label: undefined });
  return {
    taps: label,
    open: async ({ holder, findStage }) => {
      const tapped = findStage?.(label);
      if (tapped === undefined) {
        throw new PenstockError({
          code: "stage-not-found",
          message: `found no stage labelled #${label} in another pipe of this process`,
          details: { label },
        });
      }
      const joint = new Joint(tapped.device);
      tapped.claim(joint, holder);
      return new Tap(joint, { name, onClosed: () => tapped.release(joint) });
    },
  };
}
