/**
 * What happened to one sector, as lines for people: shown with a violation. Stateless.
 */

import type { HistoryEvent, HistoryOp } from "./history.ts";
import type { SectorFacts } from "./sector-judge.ts";
import { GARBAGE, UNSEEN } from "./sector-pattern.ts";

/** So many lines before the one that nothing explains. */
const LINES_MAX = 24;

export function describeValue(value: number | undefined): string {
  if (value === 0) return "zeroes";
  if (value === GARBAGE) return "garbage";
  return value === undefined || value === UNSEEN ? "something" : `value ${value}`;
}

/** The sector's life until `tick`. */
export function sectorLines(facts: SectorFacts, tick: number): string[] {
  const { sector } = facts;
  const lines: { readonly tick: number; readonly text: string }[] = [];
  for (const op of facts.ops) {
    lines.push({ tick: op.start, text: `${name(op)} begins${intent(op, sector)}` });
    if (op.end <= tick) {
      lines.push({ tick: op.end, text: `${name(op)} ends: ${op.outcome}${found(op, sector)}` });
    }
  }
  for (const op of facts.flushes) {
    lines.push({ tick: op.start, text: `${name(op)} begins` });
    if (op.end <= tick) lines.push({ tick: op.end, text: `${name(op)} ends: ${op.outcome}` });
  }
  for (const event of facts.events) {
    if (touches(event, sector)) lines.push({ tick: event.tick, text: `-- ${event.kind} --` });
  }
  const seen = lines
    .filter((line) => line.tick <= tick)
    .sort((one, other) => one.tick - other.tick);
  return seen.slice(-LINES_MAX).map((line) => `${String(line.tick).padStart(6)} ${line.text}`);
}

function name(op: HistoryOp): string {
  return `${op.client} ${op.kind}${op.fua ? " fua" : ""} #${op.id}`;
}

function intent(op: HistoryOp, sector: number): string {
  const expected = op.expected?.[sector - op.first];
  const ifEqual = expected === undefined ? "" : ` if ${describeValue(expected)}`;
  return op.value === UNSEEN ? ifEqual : `, writes ${describeValue(op.value)}${ifEqual}`;
}

function found(op: HistoryOp, sector: number): string {
  if (op.differs === sector) return ", found a difference";
  const seen = op.seen?.[sector - op.first] ?? UNSEEN;
  return seen === UNSEEN ? "" : `, saw ${describeValue(seen)}`;
}

function touches(event: HistoryEvent, sector: number): boolean {
  return sector >= event.first && sector < event.first + event.count;
}
