/**
 * SectorState: one state that a sector may be in: the values that may be there after a loss of
 * power, oldest first, the last of them being what reads see now. Immutable; `SectorJudge` owns
 * the sets of them.
 */

import type { HistoryOp } from "./history.ts";
import { GARBAGE } from "./sector-pattern.ts";

/** Bits of the masks: operations under way on one sector at once. */
export const SLOTS_MAX = 30;

const NEVER = Number.POSITIVE_INFINITY;

/** What is there before the first write. */
export const FIRST_WRITE: HistoryOp = pseudoWrite(0, 0);
/** What rot leaves: garbage. */
export const ROTTEN: HistoryOp = pseudoWrite(-1, GARBAGE);

/** An acknowledged write that was lost, and that the next flush must report. */
interface Lost {
  readonly op: HistoryOp;
  /** When a flush reported it. */
  readonly reportedAt: number;
  /** When a later write to the sector was acknowledged. */
  readonly supersededAt: number;
}

const NOTHING_LOST: readonly Lost[] = [];

interface Masks {
  readonly applied: number;
  readonly again: number;
  readonly satisfied: number;
}

const NO_MASKS: Masks = { applied: 0, again: 0, satisfied: 0 };

export class SectorState {
  /** Writes in the order in which they took effect, from the last one that surely is durable. */
  readonly list: readonly HistoryOp[];
  /** Pending writes that have taken effect. */
  readonly applied: number;
  /** Of these, those that may do so once more: they were lost, and may be sent again. */
  readonly again: number;
  /** Pending reads that have seen what they report. */
  readonly satisfied: number;
  readonly #lost: readonly Lost[];
  /** So many of the list's beginning no later flush makes durable. */
  readonly #doomed: number;

  constructor(
    list: readonly HistoryOp[],
    masks: Masks = NO_MASKS,
    lost: readonly Lost[] = NOTHING_LOST,
    doomed = 0,
  ) {
    this.list = list;
    this.applied = masks.applied;
    this.again = masks.again;
    this.satisfied = masks.satisfied;
    this.#lost = lost;
    this.#doomed = doomed;
  }

  /** What reads see. */
  get last(): HistoryOp {
    return this.list[this.list.length - 1] as HistoryOp; // never empty
  }

  /** Equal for equal states. */
  get key(): string {
    let key = `${this.applied},${this.again},${this.satisfied},${this.#doomed}`;
    for (const { id } of this.list) key += ` ${id}`;
    for (const { op, reportedAt, supersededAt } of this.#lost) {
      key += ` -${op.id}:${reportedAt}:${supersededAt}`;
    }
    return key;
  }

  count(op: HistoryOp): number {
    let count = 0;
    for (const entry of this.list) if (entry === op) count++;
    return count;
  }

  withSatisfied(bits: number): SectorState {
    if ((this.satisfied | bits) === this.satisfied) return this;
    return this.#with({ ...this.#masks, satisfied: this.satisfied | bits });
  }

  withoutSlot(bit: number): SectorState {
    if (((this.applied | this.again | this.satisfied) & bit) === 0) return this;
    return this.#with({
      applied: this.applied & ~bit,
      again: this.again & ~bit,
      satisfied: this.satisfied & ~bit,
    });
  }

  /** A pending write takes effect. */
  withApplied(op: HistoryOp, bit: number): SectorState {
    const ackedAt = op.outcome === "ok" ? op.end : NEVER;
    const lost = this.#lost
      .filter((each) => each.op !== op)
      .map((each) => ({ ...each, supersededAt: Math.min(each.supersededAt, ackedAt) }));
    const masks = {
      applied: this.applied | bit,
      again: this.again & ~bit,
      satisfied: this.satisfied,
    };
    return new SectorState([...this.list, op], masks, lost, this.#doomed);
  }

  /** A flush that said ok covers what was acknowledged before it began; null: it cannot have. */
  flushed(flush: HistoryOp): SectorState | null {
    const { start } = flush;
    for (const { op, reportedAt, supersededAt } of this.#lost) {
      if (op.session !== flush.session) continue;
      if (op.end < start && reportedAt > start && supersededAt > start) return null;
    }
    for (let index = this.list.length - 1; index >= Math.max(this.#doomed, 1); index--) {
      const op = this.list[index] as HistoryOp; // within the list
      if (op.outcome === "ok" && op.end < start) return this.#durableFrom(index);
    }
    return this;
  }

  /** The write was acknowledged with FUA. */
  forced(op: HistoryOp): SectorState {
    const index = this.list.lastIndexOf(op);
    return index < Math.max(this.#doomed, 1) ? this : this.#durableFrom(index);
  }

  lossReported(flush: HistoryOp): SectorState {
    if (this.#lost.length === 0) return this;
    const lost = this.#lost.map((each) =>
      each.op.session === flush.session && each.op.end < flush.start && each.reportedAt === NEVER
        ? { ...each, reportedAt: flush.end }
        : each,
    );
    return new SectorState(this.list, this.#masks, lost, this.#doomed);
  }

  /** Power was lost, and entry `index` is what the medium has. @param pending slots of writes */
  afterLoss(index: number, pending: number, isReported: boolean): SectorState {
    return this.#lose(this.list[index] as HistoryOp, index + 1, pending, isReported);
  }

  /** All is gone, and `left` is there instead. @param pending slots of writes */
  wiped(left: HistoryOp, pending: number, isReported: boolean): SectorState {
    return this.#lose(left, 1, pending, isReported);
  }

  /** A sync has failed: what is not durable may be lost, whatever is flushed later. */
  doomed(): SectorState {
    if (this.list.length === 1) return this;
    return new SectorState(this.list, this.#masks, this.#lost, this.list.length);
  }

  /** The page cache lets go of what a failed sync could not write: of that, or of nothing. */
  reverts(): SectorState[] {
    if (this.#doomed < this.list.length) return [this];
    return this.list.map((_, index) => {
      const list = this.list.slice(0, index + 1);
      return new SectorState(list, this.#masks, this.#lost, list.length);
    });
  }

  /** Another content, whatever was there. */
  replacedBy(op: HistoryOp): SectorState {
    return new SectorState([op], this.#masks, this.#lost);
  }

  #lose(left: HistoryOp, from: number, pending: number, isReported: boolean): SectorState {
    const masks = {
      applied: this.applied,
      again: this.again | (this.applied & pending),
      satisfied: this.satisfied,
    };
    if (isReported) return new SectorState([left], masks);
    const lost = [...this.#lost];
    for (let index = from; index < this.list.length; index++) {
      const op = this.list[index] as HistoryOp; // within the list
      if (op.outcome !== "ok" || index < this.#doomed) continue;
      lost.push({ op, reportedAt: NEVER, supersededAt: NEVER });
    }
    return new SectorState([left], masks, lost);
  }

  #durableFrom(index: number): SectorState {
    const doomed = Math.max(0, this.#doomed - index);
    return new SectorState(this.list.slice(index), this.#masks, this.#lost, doomed);
  }

  get #masks(): Masks {
    return { applied: this.applied, again: this.again, satisfied: this.satisfied };
  }

  #with(masks: Masks): SectorState {
    return new SectorState(this.list, masks, this.#lost, this.#doomed);
  }
}

function pseudoWrite(id: number, value: number): HistoryOp {
  return {
    id,
    client: "",
    session: -1,
    kind: "write",
    first: 0,
    count: 0,
    fua: true,
    value,
    expected: null,
    start: -2,
    startMs: 0,
    end: -1,
    closed: -1,
    outcome: "ok",
    seen: null,
    differs: -1,
  };
}
