/**
 * `lvol:///pool/volume?readonly=1`: a volume of a pool of this process. Stateless.
 */

import { PenstockError } from "../../util/errors.ts";
import type { UriStage } from "../ast.ts";
import { formatStage } from "../formatter.ts";
import { GrammarError } from "../grammar-error.ts";
import type { StageOptions } from "../stage-options.ts";
import { type OptionHelp, refuseHost, type SourcePlan } from "../stage-plan.ts";

export const LVOL_OPTIONS: readonly OptionHelp[] = [
  { key: "readonly", value: "BOOLEAN", text: "open for reading only" },
];

export function planLvol(text: string, stage: UriStage, options: StageOptions): SourcePlan {
  refuseHost(text, stage);
  const [pool = "", volume = "", ...more] = stage.path.slice(1).split("/");
  if (pool === "" || volume === "" || more.length > 0) {
    const message = `found the path "${stage.path}", expected a pool and a volume of it`;
    const example = ": lvol:///POOL/VOLUME";
    const span = stage.pathSpan;
    throw new GrammarError({ code: "bad-path", text, span, message: `${message}${example}` });
  }
  const readOnly = options.boolean("readonly", { fallback: false });
  const stageName = formatStage({ ...stage, label: undefined });
  return {
    volume: { pool, volume },
    open: async ({ findPool }) => {
      const found = findPool?.(pool);
      if (found === undefined) throw poolNotFound(pool);
      return await found.openVolume(volume, { readOnly, stageName });
    },
  };
}

/** It may come: an engine brings its pools back after its start. */
export function poolNotFound(name: string): PenstockError {
  return new PenstockError({
    code: "pool-not-found",
    message: `there is no pool "${name}" that is open in this process`,
    retryable: true,
    details: { name },
  });
}
