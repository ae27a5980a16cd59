/**
 * What it means that a log ends where it ends: the table of the format, row by row. Pure.
 *
 * spec: docs/internals/pool-format.md, The log's end, rot, and what was lost
 */

export interface LogEndFacts {
  /** Sequence of the last good frame. */
  readonly last: number;
  /** Highest `durable` in any right header of the session. */
  readonly mark: number;
  /** There are frames behind the one that is missing. */
  readonly hasLater: boolean;
  /** Highest label generation in any right header of the pool. */
  readonly generation: number;
  /** Of the label that was chosen. */
  readonly labelGeneration: number;
  /** Instance ids differ, or a sync has failed: what was not synced may be lost. */
  readonly isVolatileLost: boolean;
  /** Part of the ring cannot be read: what is there may come back. */
  readonly hasUnreadable: boolean;
}

/**
 * - "end": the log ends there, as it should
 * - "dropped": later frames were lost with the power, or follow one that was
 * - "damaged": frames are missing that should be there
 */
export type LogEndVerdict = "end" | "dropped" | "damaged";

export function judgeLogEnd(facts: LogEndFacts): LogEndVerdict {
  const { last, mark, hasLater, isVolatileLost } = facts;
  if (mark > last) return "damaged";
  // A label was durable that is not there any more.
  if (facts.generation > facts.labelGeneration) return "damaged";
  if (facts.hasUnreadable) return "damaged";
  if (!hasLater) return "end";
  return isVolatileLost ? "dropped" : "damaged";
}
