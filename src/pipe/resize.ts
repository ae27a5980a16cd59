/**
 * Growing a pipe that runs: its source first, then what stands on it, bottom up.
 *
 * No request is held: until its device states the new size, a share refuses what lies beyond the
 * old one. The text of a source that gives its size gets the new one, so that the pipe can be
 * opened again.
 */

import { PenstockError } from "../util/errors.ts";
import { type Branch, nameOfStage, type OpenStage } from "./branch.ts";
import type { Stage, StageOption } from "./ast.ts";

const SIZE_OPTION = "size";

/**
 * @param sizeBytes of the source
 * @throws PenstockError `resize-unsupported`, `size-invalid`, `resize-failed`: nothing has changed
 */
export async function resizeBranch(branch: Branch, sizeBytes: number): Promise<void> {
  const [source, ...filters] = branch.stages as [OpenStage, ...OpenStage[]]; // has its source
  for (const { stage, device } of filters) checkFits(stage, device.info.blockSizeBytes, sizeBytes);
  await source.device.grow(sizeBytes);
  source.above.followSize();
  for (const { device, above } of filters) {
    device.followSize();
    above.followSize();
  }
  source.stage = withSize(source.stage, sizeBytes);
}

/** Blocks get larger on the way up. */
function checkFits(stage: Stage, blockSizeBytes: number, sizeBytes: number): void {
  if (sizeBytes % blockSizeBytes === 0) return;
  throw new PenstockError({
    code: "size-invalid",
    message:
      `${nameOfStage(stage)} has blocks of ${blockSizeBytes} bytes: ` +
      `found a size of ${sizeBytes}, expected a multiple of them`,
    details: { sizeBytes, blockSizeBytes },
  });
}

function withSize(stage: Stage, sizeBytes: number): Stage {
  const replace = (option: StageOption): StageOption =>
    option.key === SIZE_OPTION ? { ...option, value: `${sizeBytes}B` } : option;
  return { ...stage, options: stage.options.map(replace) };
}
