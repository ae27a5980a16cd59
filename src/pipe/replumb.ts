/**
 * Changes of a pipe that runs: filters put in, taken out, given other settings; and its listing.
 *
 * Functions over an open branch; the pipe runs them one at a time.
 */

import type { DeviceDetails } from "../block/device.ts";
import { PenstockError } from "../util/errors.ts";
import { type Branch, nameOfStage } from "./branch.ts";
import { formatStage } from "./formatter.ts";
import { planOneFilter } from "./pipe-plan.ts";
import { findStage, walkStages } from "./stage-address.ts";

/** The most that requests under way may hold a change up. */
const REPLUMB_MS_MAX = 2000;
/** ... and in a leg of a mirror at most this part of the time that it waits for a child. */
const PATIENCE_SHARE = 1 / 2;

export interface Insertion {
  /** One filter, with its options and perhaps a label: "limit#gold?iops=500". */
  readonly text: string;
  /** The stage that it is put on; default: the topmost, so that it comes next to the share. */
  readonly above?: string;
  readonly timeoutMs?: number;
}

export interface Removal {
  readonly stage: string;
  readonly timeoutMs?: number;
}

export interface Change {
  readonly stage: string;
  /** The same filter with its new options; what it leaves out goes back to its default. */
  readonly text: string;
}

/** One stage in listings and graphs. Plain values, no secrets. */
export interface StageListing {
  /** Its label, or its place: see `findStage`. */
  readonly id: string;
  readonly place: string;
  readonly label: string | null;
  readonly kind: string;
  /** Canonical, without its legs. */
  readonly text: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
  readonly inFlight: number;
  /** Why it cannot be put in or taken out, or null. */
  readonly fixedBecause: string | null;
  readonly details: DeviceDetails;
  /** Each bottom up. */
  readonly legs: readonly (readonly StageListing[])[];
}

/** @throws PenstockError `stage-fixed`, `label-taken`, `stage-not-found`, `replumb-timeout` */
export async function insertStage(root: Branch, insertion: Insertion): Promise<void> {
  const { plan, stage } = planOneFilter(insertion.text);
  if (plan.fixedBecause !== null) throw fixed(stage.name, plan.fixedBecause, "put into");
  for (const { stage: other } of walkStages(root)) {
    if (stage.label !== undefined && other.stage.label === stage.label) {
      const message = `another stage of the pipe is labelled #${stage.label} already`;
      throw new PenstockError({ code: "label-taken", message });
    }
  }
  const {
    branch,
    stage: lower,
    patienceMs,
  } = insertion.above === undefined
    ? { branch: root, stage: root.top, patienceMs: Number.POSITIVE_INFINITY }
    : findStage(root, insertion.above);
  await branch.insert(lower, { plan, stage }, timeLimit(insertion.timeoutMs, patienceMs));
}

/** @throws PenstockError `stage-fixed`, `stage-tapped`, `stage-not-found`, `replumb-timeout` */
export async function removeStage(root: Branch, removal: Removal): Promise<void> {
  const { branch, stage, patienceMs } = findStage(root, removal.stage);
  if (stage.plan === null) {
    throw fixed(nameOfStage(stage.stage), "it is the source", "taken out of");
  }
  const { fixedBecause } = stage.plan;
  if (fixedBecause !== null) throw fixed(stage.device.info.kind, fixedBecause, "taken out of");
  if (stage.tappedBy.size > 0) {
    const holders = [...stage.tappedBy.values()].join(", ");
    const message = `${nameOfStage(stage.stage)} is tapped by ${holders}`;
    throw new PenstockError({ code: "stage-tapped", message });
  }
  await branch.remove(stage, timeLimit(removal.timeoutMs, patienceMs));
}

/** @throws PenstockError `stage-unchangeable`, `stage-mismatch`, `stage-not-found` */
export function changeStage(root: Branch, change: Change): void {
  const { stage: open } = findStage(root, change.stage);
  const { plan, stage } = planOneFilter(change.text);
  const { stage: before } = open;
  if (before.kind !== "call" || before.name !== stage.name || open.plan === null) {
    const message = `found ${stage.name}, expected new settings of ${formatStage(before)}`;
    throw new PenstockError({ code: "stage-mismatch", message });
  }
  if (plan.change === undefined) {
    const message = `${stage.name} has no settings that change while it runs`;
    throw new PenstockError({ code: "stage-unchangeable", message });
  }
  plan.change(open.device);
  open.stage = { ...stage, label: before.label };
}

/** All stages of a pipe as they are now, without its share. */
export function treeOf(branch: Branch): {
  readonly text: string;
  readonly stages: StageListing[];
} {
  return { text: branch.text, stages: listStages(branch) };
}

/** Bottom up. */
export function listStages(branch: Branch, prefix = ""): StageListing[] {
  return branch.stages.map((open, index) => {
    const place = `${prefix}${index + 1}`;
    const { stage, device, plan, legs } = open;
    const { kind, sizeBytes, blockSizeBytes, readOnly } = device.info;
    const { label } = stage;
    return {
      id: label ?? place,
      place,
      label: label ?? null,
      kind,
      text: formatStage(stage.kind === "call" ? { ...stage, arguments: [] } : stage),
      sizeBytes,
      blockSizeBytes,
      readOnly,
      inFlight: device.inFlight,
      fixedBecause: plan === null ? "it is the source" : plan.fixedBecause,
      details: device.describe(),
      legs: legs.map((leg, at) => listStages(leg, `${place}.${at + 1}.`)),
    };
  });
}

/** A mirror must not take a leg whose requests are held for a change for one that hangs. */
function timeLimit(wantedMs: number | undefined, patienceMs: number): number {
  return Math.min(wantedMs ?? REPLUMB_MS_MAX, patienceMs * PATIENCE_SHARE);
}

function fixed(name: string, reason: string, what: string): PenstockError {
  return new PenstockError({
    code: "stage-fixed",
    message: `${name} cannot be ${what} a pipe that runs: ${reason}`,
    details: { stage: name, reason },
  });
}
