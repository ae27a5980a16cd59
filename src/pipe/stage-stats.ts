/**
 * What the stages of an open pipe, and the children of its mirrors, have done so far: read out of
 * their meters when somebody asks. Plain values.
 */

import type { MeterCounts } from "../block/meter.ts";
import { Mirror } from "../nexus/mirror.ts";
import { EMPTY_SNAPSHOT, type HistogramSnapshot, snapshotOf } from "../util/histogram-snapshot.ts";
import type { Branch } from "./branch.ts";
import { walkStages } from "./stage-address.ts";

export interface StageStats {
  /** Its label, or its place. */
  readonly id: string;
  readonly kind: string;
  readonly inFlight: number;
  readonly counts: MeterCounts;
  /** Nanoseconds in it and in what is below; of a sample of its requests. */
  readonly latency: HistogramSnapshot;
  /** Of a mirror; in the order of its legs. */
  readonly children: readonly ChildStats[];
}

export interface ChildStats {
  /** From 1. */
  readonly child: number;
  /** Canonical text of the leg's source. */
  readonly name: string;
  /** "in-sync" or "faulted". */
  readonly state: string;
  readonly inFlight: number;
  readonly reads: number;
  readonly writes: number;
  readonly others: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly errors: number;
  /** Requests that it has not answered and that nobody waits for any more. */
  readonly orphans: number;
  /** Nanoseconds; of a sample. */
  readonly latency: HistogramSnapshot;
}

/** Of a child that is out and was not opened. */
const NOTHING_DONE = {
  inFlight: 0,
  reads: 0,
  writes: 0,
  others: 0,
  readBytes: 0,
  writeBytes: 0,
  errors: 0,
  orphans: 0,
  latency: EMPTY_SNAPSHOT,
};

/** Legs before what stands on them, bottom up. */
export function statsOfStages(branch: Branch): StageStats[] {
  return [...walkStages(branch)].map(({ stage, place }): StageStats => {
    const { device } = stage;
    const { meter, info, inFlight } = device;
    return {
      id: stage.stage.label ?? place,
      kind: info.kind,
      inFlight,
      counts: meter.counts(),
      latency: snapshotOf(meter.histogram),
      children: device instanceof Mirror ? statsOfChildren(device) : [],
    };
  });
}

function statsOfChildren({ children, outLegs }: Mirror): ChildStats[] {
  const open = children.map((child): ChildStats => {
    const { number, name, state, inFlight, reads, writes, others, readBytes, writeBytes } = child;
    return {
      child: number + 1,
      name,
      state: state.name,
      inFlight,
      reads,
      writes,
      others,
      readBytes,
      writeBytes,
      errors: child.errors,
      orphans: child.orphanCount,
      latency: snapshotOf(child.latency.histogram),
    };
  });
  const out = outLegs.map(({ number, name }) => ({
    child: number + 1,
    name,
    state: "faulted",
    ...NOTHING_DONE,
  }));
  return [...open, ...out].sort((a, b) => a.child - b.child);
}
