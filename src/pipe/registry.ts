/**
 * Every source, filter and share there is, listed by hand, and the look-up of a stage among them.
 *
 * Data and pure functions. A stage that is not here is refused at its character: with the nearest
 * name, with where it belongs when it stands in the wrong place, or as something still to come.
 */

import type { CallStage, Pipe, Stage, UriStage } from "./ast.ts";
import { CRYPT_OPTIONS, planCrypt } from "./filters/crypt-filter.ts";
import { DELAY_OPTIONS, planDelay } from "./filters/delay-filter.ts";
import { FAULT_OPTIONS, planFault } from "./filters/fault-filter.ts";
import { LIMIT_OPTIONS, planLimit } from "./filters/limit-filter.ts";
import { LOG_OPTIONS, planLog } from "./filters/log-filter.ts";
import { planSlice, SLICE_OPTIONS } from "./filters/slice-filter.ts";
import { GrammarError, quote } from "./grammar-error.ts";
import { suggestName } from "./nearest-name.ts";
import { NBD_OPTIONS, NBD_UNIX_OPTIONS, planNbd, planNbdUnix } from "./shares/nbd-share.ts";
import { NVMF_OPTIONS, planNvmf } from "./shares/nvmf-share.ts";
import { FILE_OPTIONS, planFile } from "./sources/file-source.ts";
import { LVOL_OPTIONS, planLvol } from "./sources/lvol-source.ts";
import { MEMORY_OPTIONS, planMalloc, planNull } from "./sources/memory-sources.ts";
import { MIRROR_OPTIONS, planMirror } from "./sources/mirror-source.ts";
import { planTap, TAP_OPTIONS } from "./sources/tap-source.ts";
import {
  NBD_SOURCE_OPTIONS,
  NBD_UNIX_SOURCE_OPTIONS,
  planNbdSource,
  planNbdUnixSource,
} from "./sources/nbd-source.ts";
import type { SharePlan } from "./share-plan.ts";
import { NVMF_SOURCE_OPTIONS, planNvmfSource } from "./sources/nvmf-source.ts";
import { StageOptions } from "./stage-options.ts";
import type { BranchPlan, FilterPlan, OptionHelp, SourcePlan } from "./stage-plan.ts";

/** What `--help` says of a stage. */
export interface StageHelp {
  readonly example: string;
  readonly text: string;
  readonly options: readonly OptionHelp[];
}

interface UriEntry<P> extends StageHelp {
  readonly scheme: string;
  /** Reads every option it knows. Throws GrammarErrors only. */
  plan(text: string, stage: UriStage, options: StageOptions): P;
}

/** A source that is written as a call, and may take pipes. */
interface CallSourceEntry extends StageHelp {
  readonly name: string;
  plan(
    text: string,
    stage: CallStage,
    options: StageOptions,
    legs: readonly BranchPlan[],
  ): SourcePlan;
}

interface FilterEntry extends StageHelp {
  readonly name: string;
  plan(text: string, stage: CallStage, options: StageOptions): FilterPlan;
}

export const SOURCES: readonly UriEntry<SourcePlan>[] = [
  {
    scheme: "file",
    example: "file:///var/lib/disk.img?size=10GiB",
    text: "a regular file or a block device; a bare path means the same",
    options: FILE_OPTIONS,
    plan: planFile,
  },
  {
    scheme: "lvol",
    example: "lvol:///pool/volume",
    text: "a volume of a pool of the same engine",
    options: LVOL_OPTIONS,
    plan: planLvol,
  },
  {
    scheme: "malloc",
    example: "malloc:///name?size=64MiB",
    text: "memory of this process; its content is gone when the pipe ends",
    options: MEMORY_OPTIONS,
    plan: planMalloc,
  },
  {
    scheme: "nbd",
    example: "nbd://127.0.0.1:10809/name",
    text: "another server's NBD export over TCP; as the last stage it is a share",
    options: NBD_SOURCE_OPTIONS,
    plan: planNbdSource,
  },
  {
    scheme: "nbd+unix",
    example: "nbd+unix:///name?socket=/run/disk.sock",
    text: "another server's NBD export on a Unix socket; as the last stage it is a share",
    options: NBD_UNIX_SOURCE_OPTIONS,
    plan: planNbdUnixSource,
  },
  {
    scheme: "nvmf",
    example: "nvmf://127.0.0.1:4420/nqn.2026-11.io.penstock:vol1",
    text: "a namespace of another server over NVMe/TCP; as the last stage it is a share",
    options: NVMF_SOURCE_OPTIONS,
    plan: planNvmfSource,
  },
  {
    scheme: "null",
    example: "null:///name?size=1TiB",
    text: "reads zeroes, forgets writes",
    options: MEMORY_OPTIONS,
    plan: planNull,
  },
  {
    scheme: "tap",
    example: "tap:///label",
    text: "a labelled stage of another pipe of the process, read a second time",
    options: TAP_OPTIONS,
    plan: planTap,
  },
];

export const CALL_SOURCES: readonly CallSourceEntry[] = [
  {
    name: "mirror",
    example: "mirror(file:///a, nbd://host:10809/b)",
    text: "one device over 1 to 16 pipes that hold the same; outlives all of them but one",
    options: MIRROR_OPTIONS,
    plan: planMirror,
  },
];

export const FILTERS: readonly FilterEntry[] = [
  {
    name: "crypt",
    example: "crypt?key=file:/etc/disk.key&sector=4096",
    text: "encrypts what is stored below, as dm-crypt's aes-xts-plain64",
    options: CRYPT_OPTIONS,
    plan: planCrypt,
  },
  {
    name: "limit",
    example: "limit?iops=500&bandwidth=50MiB",
    text: "so many operations and bytes per second, fair among clients",
    options: LIMIT_OPTIONS,
    plan: planLimit,
  },
  {
    name: "delay",
    example: "delay?read=5ms&write=10ms&jitter=2ms",
    text: "holds each operation for a time",
    options: DELAY_OPTIONS,
    plan: planDelay,
  },
  {
    name: "fault",
    example: "fault?read=error&write=torn&probability=0.01",
    text: "fails on purpose: for tests of what stands on it",
    options: FAULT_OPTIONS,
    plan: planFault,
  },
  {
    name: "log",
    example: "log?slow=10ms",
    text: "a line for each request that has ended, or only for slow ones and failures",
    options: LOG_OPTIONS,
    plan: planLog,
  },
  {
    name: "slice",
    example: "slice?offset=1MiB&length=16MiB",
    text: "a range as a device of its own",
    options: SLICE_OPTIONS,
    plan: planSlice,
  },
];

export const SHARES: readonly UriEntry<SharePlan>[] = [
  {
    scheme: "nbd",
    example: "nbd://127.0.0.1:10809/name",
    text: "an NBD export over TCP; port 0 takes any free one",
    options: NBD_OPTIONS,
    plan: planNbd,
  },
  {
    scheme: "nbd+unix",
    example: "nbd+unix:///name?socket=/run/disk.sock",
    text: "an NBD export on a Unix socket",
    options: NBD_UNIX_OPTIONS,
    plan: planNbdUnix,
  },
  {
    scheme: "nvmf",
    example: "nvmf://127.0.0.1:4420/nqn.2026-11.io.penstock:vol1",
    text: "a namespace of an NVMe subsystem over TCP; port 0 takes any free one",
    options: NVMF_OPTIONS,
    plan: planNvmf,
  },
];

/** Part of the plan but not of this version. */
const LATER_SCHEMES: readonly string[] = ["iscsi", "vhost-user", "fuse", "s3"];
const LATER_NAMES: readonly string[] = ["mirror"];

/**
 * A source and the filters on it.
 * @param stages of `text`, at least one
 * @throws GrammarError
 */
export function planBranch(text: string, stages: readonly Stage[]): BranchPlan {
  const [sourceStage, ...others] = stages as [Stage, ...Stage[]]; // the parser gives one at least
  const filters = others.map((stage) => planFilter(text, stage));
  const filterStages = others as CallStage[]; // planFilter has refused all else
  return { source: planSource(text, sourceStage), sourceStage, filters, filterStages };
}

/** @throws GrammarError */
function planSource(text: string, stage: Stage): SourcePlan {
  if (stage.kind === "call") return planCallSource(text, stage);
  const entry = SOURCES.find(({ scheme }) => scheme === stage.scheme);
  if (entry !== undefined) return planUri(text, stage, entry);
  throw unknownScheme(text, stage, SOURCES, "a source");
}

/** @throws GrammarError */
export function planFilter(text: string, stage: Stage): FilterPlan {
  if (stage.kind === "uri") {
    const message =
      `found ${stage.scheme}:// between source and share, expected a filter: ` +
      "a pipe has one source, its first stage, and one share, its last";
    throw schemeError(text, stage, "not-a-filter", message);
  }
  if (CALL_SOURCES.some(({ name }) => name === stage.name)) {
    const message = `found ${quote(stage.name)}, which is a source, expected a filter here`;
    throw nameError(text, stage, "source-as-filter", message);
  }
  const entry = FILTERS.find(({ name }) => name === stage.name);
  if (entry === undefined) throw unknownName(text, stage, "a filter");
  const [argument] = stage.arguments;
  if (argument !== undefined) {
    const message = `found a pipe as an argument of ${quote(stage.name)}, which takes options only`;
    throw new GrammarError({ code: "unexpected-argument", text, span: argument.span, message });
  }
  const options = new StageOptions(text, stage);
  const plan = entry.plan(text, stage, options);
  options.finish();
  return plan;
}

/** @throws GrammarError */
export function planShare(text: string, stage: Stage): SharePlan {
  if (stage.kind === "call") {
    if (isKnownName(stage.name)) {
      const message =
        `found ${quote(stage.name)} as the last stage, ` +
        `expected a share: one of ${listOf(SHARES)}`;
      throw nameError(text, stage, "missing-share", message);
    }
    throw unknownName(text, stage, "a share");
  }
  const entry = SHARES.find(({ scheme }) => scheme === stage.scheme);
  if (entry !== undefined) return planUri(text, stage, entry);
  if (SOURCES.some(({ scheme }) => scheme === stage.scheme)) {
    const found = `found ${stage.scheme}:// as the last stage`;
    const message = `${found}, which is a source, expected a share: one of ${listOf(SHARES)}`;
    throw schemeError(text, stage, "source-as-share", message);
  }
  throw unknownScheme(text, stage, SHARES, "a share");
}

function planCallSource(text: string, stage: CallStage): SourcePlan {
  const entry = CALL_SOURCES.find(({ name }) => name === stage.name);
  if (entry === undefined) throw notASource(text, stage);
  const options = new StageOptions(text, stage);
  const legs = stage.arguments.map(({ stages }: Pipe) => planBranch(text, stages));
  const plan = entry.plan(text, stage, options, legs);
  options.finish();
  return plan;
}

function planUri<P>(text: string, stage: UriStage, entry: UriEntry<P>): P {
  const options = new StageOptions(text, stage);
  const plan = entry.plan(text, stage, options);
  options.finish();
  return plan;
}

function notASource(text: string, stage: CallStage): GrammarError {
  if (FILTERS.some(({ name }) => name === stage.name)) {
    const message =
      `found ${quote(stage.name)}, which is a filter, as the source, ` +
      `expected one of ${listOf(SOURCES)} to begin with`;
    return nameError(text, stage, "filter-as-source", message);
  }
  return unknownName(text, stage, "a source");
}

function unknownScheme(
  text: string,
  stage: UriStage,
  entries: readonly { readonly scheme: string }[],
  expected: string,
): GrammarError {
  const { scheme } = stage;
  if (LATER_SCHEMES.includes(scheme)) {
    const message = `found ${scheme}://, which is not yet in this version`;
    return schemeError(text, stage, "not-yet", `${message}, expected one of ${listOf(entries)}`);
  }
  const names = entries.map((entry) => entry.scheme);
  const message =
    `found the scheme ${quote(scheme)}, expected ${expected}: ` +
    `one of ${listOf(entries)}${suggestName(scheme, names)}`;
  return schemeError(text, stage, "unknown-scheme", message);
}

function unknownName(text: string, stage: CallStage, expected: string): GrammarError {
  const { name } = stage;
  if (LATER_NAMES.includes(name)) {
    const message = `found ${quote(name)}, which is not yet in this version`;
    return nameError(text, stage, "not-yet", message);
  }
  const names = [...[...CALL_SOURCES, ...FILTERS].map((entry) => entry.name), ...LATER_NAMES];
  const message = `found ${quote(name)}, expected ${expected}${suggestName(name, names)}`;
  return nameError(text, stage, "unknown-stage", message);
}

function isKnownName(name: string): boolean {
  return (
    LATER_NAMES.includes(name) || [...CALL_SOURCES, ...FILTERS].some((entry) => entry.name === name)
  );
}

function listOf(entries: readonly { readonly scheme: string }[]): string {
  return entries.map(({ scheme }) => `${scheme}://`).join(", ");
}

function schemeError(text: string, stage: UriStage, code: string, message: string): GrammarError {
  // A bare path has no scheme of its own: then the path is what the error is about.
  const span = stage.schemeSpan.length === 0 ? stage.pathSpan : stage.schemeSpan;
  return new GrammarError({ code, text, span, message });
}

function nameError(text: string, stage: CallStage, code: string, message: string): GrammarError {
  return new GrammarError({ code, text, span: stage.nameSpan, message });
}
