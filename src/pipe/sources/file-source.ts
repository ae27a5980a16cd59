/**
 * `file:///path?size=1GiB&direct=1&readonly=1&blocksize=4096`, or a bare path: a regular file or a
 * block device. Stateless.
 */

import { resolve } from "node:path";
import { FileDevice } from "../../devices/file.ts";
import type { UriStage } from "../ast.ts";
import { GrammarError } from "../grammar-error.ts";
import type { StageOptions } from "../stage-options.ts";
import { type OptionHelp, refuseHost, type SourcePlan } from "../stage-plan.ts";
import { readBlockSize } from "./block-size.ts";

export const FILE_OPTIONS: readonly OptionHelp[] = [
  { key: "size", value: "SIZE", text: "create the file, sparse, or grow it to this" },
  { key: "direct", value: "BOOLEAN", text: "bypass the page cache (O_DIRECT)" },
  {
    key: "shared",
    value: "BOOLEAN",
    text: "another engine may serve it too, with shared=1: one NVMe subsystem over two paths",
  },
  { key: "readonly", value: "BOOLEAN", text: "open for reading only" },
  { key: "blocksize", value: "512|4096", text: "default: the medium's logical block size" },
];

export function planFile(text: string, stage: UriStage, options: StageOptions): SourcePlan {
  refuseHost(text, stage);
  if (stage.path === "" || stage.path.endsWith("/")) {
    const message = "found no file name, expected a path such as file:///var/lib/disk.img";
    throw new GrammarError({ code: "bad-path", text, span: stage.pathSpan, message });
  }
  const path = resolve(stage.path);
  const sizeBytes = options.size("size", { minBytes: 512, fallback: undefined });
  const direct = options.boolean("direct", { fallback: false });
  const readOnly = options.boolean("readonly", { fallback: false });
  const blockSizeBytes = readBlockSize(options);
  const shared = options.boolean("shared", { fallback: false });
  return {
    ...(shared ? { isShared: true } : {}),
    open: ({ reactor, holder, glance = false }) =>
      FileDevice.open(reactor, {
        path,
        direct,
        readOnly: readOnly || glance,
        shared,
        glance,
        holder,
        ...(sizeBytes === undefined || glance ? {} : { sizeBytes }),
        ...(blockSizeBytes === undefined ? {} : { blockSizeBytes }),
      }),
  };
}
