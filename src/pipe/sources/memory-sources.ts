/**
 * `malloc:///name?size=64MiB`, a disk of memory, and `null:///name?size=1TiB`, which forgets what
 * is written. Stateless.
 */

import { MallocDevice } from "../../devices/malloc.ts";
import { NullDevice } from "../../devices/null.ts";
import { uuidOfName } from "../../util/uuid.ts";
import type { UriStage } from "../ast.ts";
import type { StageOptions } from "../stage-options.ts";
import { type OptionHelp, refuseHost, type SourcePlan } from "../stage-plan.ts";
import { readBlockSize } from "./block-size.ts";

export const MEMORY_OPTIONS: readonly OptionHelp[] = [
  { key: "size", value: "SIZE", text: "required" },
  { key: "readonly", value: "BOOLEAN", text: "refuse writes" },
  { key: "blocksize", value: "512|4096", text: "default 512" },
];

interface MemorySettings {
  readonly name: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly blockSizeBytes: number;
}

export function planMalloc(text: string, stage: UriStage, options: StageOptions): SourcePlan {
  const settings = readSettings(text, stage, options);
  return {
    open: ({ reactor, instanceSeed }) => {
      const instanceId = uuidOfName(`malloc:${instanceSeed}:${stage.span.offset}`);
      return MallocDevice.open(reactor, { ...settings, instanceId });
    },
  };
}

export function planNull(text: string, stage: UriStage, options: StageOptions): SourcePlan {
  const settings = readSettings(text, stage, options);
  return { open: ({ reactor }) => NullDevice.open(reactor, settings) };
}

function readSettings(text: string, stage: UriStage, options: StageOptions): MemorySettings {
  refuseHost(text, stage);
  const sizeBytes = options.size("size", { minBytes: 512 });
  const readOnly = options.boolean("readonly", { fallback: false });
  const blockSizeBytes = readBlockSize(options) ?? 512;
  if (sizeBytes % blockSizeBytes !== 0) {
    throw options.refuse("size", `${sizeBytes} bytes, expected a multiple of ${blockSizeBytes}`);
  }
  return { name: stage.path.replace(/^\//, ""), sizeBytes, readOnly, blockSizeBytes };
}
