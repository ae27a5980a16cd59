/**
 * A pipe as a tree for a terminal: the share first, then what it stands on, down to the sources.
 *
 *     vol1: ready
 *     nbd://127.0.0.1:10809/vol1
 *     ├─ 2 #gold  limit#gold?iops=500  10GiB, 3 in flight
 *     └─ 1        mirror  10GiB
 *        ├─ leg 1: in-sync
 *        │  └─ 1.1.1  file:///a  10GiB
 *        └─ leg 2: faulted: 2026-11-21T10:00:00.000Z write of 4096 bytes at 0: timeout
 *           └─ 1.2.1  file:///b  10GiB
 *
 * Pure.
 */

import { legHealth, type PipeGraph, printable, stageFacts } from "./pipe-graph.ts";
import type { StageListing } from "./replumb.ts";

const ITEM = { head: "├─ ", below: "│  " } as const;
const LAST = { head: "└─ ", below: "   " } as const;

/** Lines without the last one's end. */
export function graphText(graph: PipeGraph): string {
  const { name, state, failure, stages } = graph;
  const head = `${name}: ${state}${failure === "" ? "" : `: ${failure}`}`;
  const lines = stages.length === 0 ? [graph.text] : [graph.share, ...branchLines(stages, "")];
  return [head, ...lines].map(printable).join("\n");
}

function branchLines(stages: readonly StageListing[], indent: string): string[] {
  const heads = stages.map(headOf);
  const width = Math.max(...heads.map((head) => head.length));
  const lines: string[] = [];
  for (const [index, stage] of [...stages.entries()].reverse()) {
    const { head, below } = index === 0 ? LAST : ITEM;
    const name = (heads[index] ?? "").padEnd(width);
    lines.push(`${indent}${head}${name}  ${stage.text}  ${stageFacts(stage)}`);
    lines.push(...legLines(stage, indent + below));
  }
  return lines;
}

function legLines(stage: StageListing, indent: string): string[] {
  return stage.legs.flatMap((leg, index) => {
    const { head, below } = index === stage.legs.length - 1 ? LAST : ITEM;
    const { state, reason } = legHealth(stage, index);
    const health = [state, reason].filter((word) => word !== "").map((word) => `: ${word}`);
    return [
      `${indent}${head}leg ${index + 1}${health.join("")}`,
      ...branchLines(leg, indent + below),
    ];
  });
}

function headOf({ place, label }: StageListing): string {
  return label === null ? place : `${place} #${label}`;
}
