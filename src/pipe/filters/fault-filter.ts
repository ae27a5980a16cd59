/**
 * `fault?read=error&write=torn&range=1MiB-2MiB&count=3`: see `devices/fault.ts`. Stateless.
 */

import type { Device } from "../../block/device.ts";
import { OPERATION_NAMES, Operation } from "../../block/operation.ts";
import { STATUS_TRAITS, Status } from "../../block/status.ts";
import {
  FAULT_KINDS,
  FaultFilter,
  type FaultKind,
  type FaultSettings,
  KINDS_OF_OPERATION,
  NO_FAULTS,
} from "../../devices/fault.ts";
import { assert } from "../../util/assert.ts";
import { PenstockError } from "../../util/errors.ts";
import { parseSize } from "../../util/size.ts";
import type { CallStage } from "../ast.ts";
import { formatStage } from "../formatter.ts";
import { quote } from "../grammar-error.ts";
import { checkScalar } from "../option-values.ts";
import type { StageOptions } from "../stage-options.ts";
import type { FilterPlan, OptionHelp } from "../stage-plan.ts";

/** What any operation can do. */
const KINDS_OF_ALL = ["off", "error", "hang"] as const;

export const FAULT_OPTIONS: readonly OptionHelp[] = [
  { key: "all", value: "KIND", text: `${KINDS_OF_ALL.join(", ")}; of what is not named` },
  ...OPERATION_NAMES.map((key, operation) => ({
    key,
    value: "KIND",
    text: (KINDS_OF_OPERATION[operation] ?? []).join(", "),
  })),
  {
    key: "status",
    value: "STATUS",
    text: "of error and torn; default media-error; torn can be ok",
  },
  { key: "range", value: "SIZE-SIZE", text: "only requests that touch it: 1MiB-2MiB" },
  { key: "count", value: "NUMBER", text: "so many faults, then no more" },
  { key: "probability", value: "0...1", text: "of a fault, for each request; default 1" },
  { key: "seed", value: "NUMBER", text: "the same faults for the same requests" },
  { key: "enabled", value: "BOOLEAN", text: "false: none of it; default true" },
];

const STATUS_NAMES = STATUS_TRAITS.map(({ name }) => name);

export function planFault(_text: string, stage: CallStage, options: StageOptions): FilterPlan {
  const settings = readSettings(options);
  const name = formatStage(stage);
  return {
    fixedBecause: null,
    open: async ({ instanceSeed }, below) =>
      new FaultFilter(below, name, settings, `fault ${instanceSeed} ${stage.span.offset}`),
    change(device: Device) {
      assert(device instanceof FaultFilter, "a plan changes what a plan of its kind opened");
      device.change(settings);
    },
  };
}

function readSettings(options: StageOptions): FaultSettings {
  const range = options.value("range", parseRange, { fallback: null });
  const kinds = readKinds(options, range !== null);
  const statusName = options.oneOf("status", STATUS_NAMES, { fallback: "media-error" });
  const status = STATUS_NAMES.indexOf(statusName) as Status;
  if (status === Status.ok && kinds.includes("error")) {
    throw options.refuse("status", "found ok, expected another one for faults of kind error");
  }
  const count = options.integer("count", { min: 1, fallback: Number.POSITIVE_INFINITY });
  const probability = options.value("probability", parseProbability, { fallback: 1 });
  const seed = options.integer("seed", { fallback: undefined });
  const isEnabled = options.boolean("enabled", { fallback: true });
  return { kinds: isEnabled ? kinds : NO_FAULTS, status, range, count, probability, seed };
}

function readKinds(options: StageOptions, hasRange: boolean): FaultKind[] {
  const all = options.oneOf("all", KINDS_OF_ALL, { fallback: "off" });
  return OPERATION_NAMES.map((key, operation) => {
    // A flush has no place: with a range it is meant only when it is named.
    const fallback = hasRange && operation === Operation.flush ? "off" : all;
    const kinds = KINDS_OF_OPERATION[operation] ?? FAULT_KINDS;
    return options.oneOf(key, kinds, { fallback });
  });
}

/** `1MiB-2MiB`, half-open. */
function parseRange(value: string): { offset: number; end: number } {
  const [from, to, ...rest] = checkScalar(value).split("-");
  if (from === undefined || to === undefined || rest.length > 0) {
    const message = `found ${quote(value)}, expected two sizes such as 1MiB-2MiB`;
    throw new PenstockError({ code: "range-invalid", message });
  }
  const offset = parseSize(from, { bareNumber: "refuse" });
  const end = parseSize(to, { bareNumber: "refuse" });
  if (offset >= end) {
    const message = `found ${quote(value)}, expected the second size to be the larger one`;
    throw new PenstockError({ code: "range-invalid", message });
  }
  return { offset, end };
}

function parseProbability(value: string): number {
  const probability = /^\d(\.\d{1,15})?$/.test(value) ? Number(value) : Number.NaN;
  if (probability >= 0 && probability <= 1) return probability;
  throw new PenstockError({
    code: "probability-invalid",
    message: `found ${quote(value)}, expected a number from 0 to 1, such as 0.01`,
  });
}
