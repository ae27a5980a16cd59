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
  /** Flushes that began before need not report it. */
  readonly from: number;
  /** When a flush reported it. */
  readonly reportedAt: number;
  /** When a later write to the sector was acknowledged. */
  readonly supersededAt: number;
}

const NOTHING_LOST: readonly Lost[] = [];

/** All of a state but its list. */
interface Parts {
  readonly applied: number;
  readonly again: number;
  readonly satisfied: number;
  readonly doomable: number;
  readonly doomed: number;
  readonly lastTick: number;
  readonly lost: readonly Lost[];
}

const FIRST_PARTS: Parts = {
  applied: 0,
  again: 0,
  satisfied: 0,
  doomable: 0,
  doomed: 0,
  lastTick: -1,
  lost: NOTHING_LOST,
};

/** What a loss of power does to writes that are under way. */
export interface Loss {
  readonly tick: number;
  /** Writes under way, and the bit of each. */
  readonly pending: ReadonlyMap<HistoryOp, number>;
  /** No flush needs to report it. */
  readonly isReported: boolean;
  /** Flushes that began before may have been done before it, and need not report it. */
  readonly from: number;
  readonly flushLies: boolean;
}

export class SectorState {
  /**
   * Writes in the order in which they took effect, from the last one that surely is durable. Those
   * that were never acknowledged may stand here though they need not have happened.
   */
  readonly list: readonly HistoryOp[];
  /** Pending writes that have taken effect. */
  readonly applied: number;
  /** Of these, those that may do so once more; after a loss of power they may never have. */
  readonly again: number;
  /** Pending reads that have seen what they report. */
  readonly satisfied: number;
  /** Pending writes that a failed sync may have met. */
  readonly #doomable: number;
  /** So many of the list's beginning no later flush makes durable. */
  readonly #doomed: number;
  /** When the last of the list took effect, at the latest. */
  readonly #lastTick: number;
  readonly #lost: readonly Lost[];

  constructor(list: readonly HistoryOp[], parts: Parts = FIRST_PARTS) {
    this.list = list;
    this.applied = parts.applied;
    this.again = parts.again;
    this.satisfied = parts.satisfied;
    this.#doomable = parts.doomable;
    this.#doomed = parts.doomed;
    this.#lastTick = parts.lastTick;
    this.#lost = parts.lost;
  }

  /** What reads see. */
  get last(): HistoryOp {
    return this.list[this.list.length - 1] as HistoryOp; // never empty
  }

  /** Equal for equal states. */
  get key(): string {
    let key = `${this.applied},${this.again},${this.satisfied},${this.#doomable},${this.#doomed}`;
    if (this.list.length > 1) key += `,${this.#lastTick}`;
    for (const { id } of this.list) key += ` ${id}`;
    for (const { op, reportedAt, supersededAt } of this.#lost) {
      key += ` -${op.id}:${reportedAt}:${supersededAt}`;
    }
    return key;
  }

  /** States of one family differ only in what `dominates` compares. */
  get family(): string {
    const doomed = this.#doomed >= this.list.length && this.#doomed > 0 ? "all" : this.#doomed;
    let key = `${this.applied},${this.again},${this.satisfied},${this.#doomable},${doomed}`;
    if (doomed !== 0 && doomed !== "all") return `${key} ${this.key}`;
    key += ` ${this.last.id}`;
    for (const op of this.list) if (op.outcome === "ok") key += ` ${op.id}`;
    for (const { op, reportedAt, supersededAt } of this.#lost) {
      key += ` -${op.id}:${reportedAt}:${supersededAt}`;
    }
    return key;
  }

  /**
   * Whatever may be seen of `other`, of the same family, may be seen of this one: it has all of
   * the other's unacknowledged writes, each behind the same acknowledged ones or more.
   */
  dominates(other: SectorState): boolean {
    if (this.#lastTick < other.#lastTick) return false;
    const mine = this.#places();
    for (const [op, place] of other.#places()) {
      const here = mine.get(op);
      if (here === undefined || here < place) return false;
    }
    return true;
  }

  /** For each unacknowledged write before the last: how many acknowledged ones are before it. */
  #places(): Map<HistoryOp, number> {
    const places = new Map<HistoryOp, number>();
    let acknowledged = 0;
    for (let index = 0; index < this.list.length - 1; index++) {
      const op = this.list[index] as HistoryOp; // within the list
      if (op.outcome === "ok") acknowledged++;
      else places.set(op, acknowledged);
    }
    return places;
  }

  count(op: HistoryOp): number {
    let count = 0;
    for (const entry of this.list) if (entry === op) count++;
    return count;
  }

  withSatisfied(bits: number): SectorState {
    if ((this.satisfied | bits) === this.satisfied) return this;
    return this.#with({ satisfied: this.satisfied | bits });
  }

  withoutSlot(bit: number): SectorState {
    const masks = this.applied | this.again | this.satisfied | this.#doomable;
    if ((masks & bit) === 0) return this;
    return this.#with({
      applied: this.applied & ~bit,
      again: this.again & ~bit,
      satisfied: this.satisfied & ~bit,
      doomable: this.#doomable & ~bit,
    });
  }

  /** A pending write takes effect. */
  withApplied(op: HistoryOp, bit: number, tick: number): SectorState {
    const ackedAt = op.outcome === "ok" ? op.end : NEVER;
    const lost = this.#lost
      .filter((each) => each.op !== op)
      .map((each) => ({ ...each, supersededAt: Math.min(each.supersededAt, ackedAt) }));
    // Done once more: what it was before is behind it now, and says nothing that this does not.
    const before = this.list.indexOf(op, 1);
    const kept = before === -1 ? this.list : this.list.filter((_, index) => index !== before);
    const doomed = before !== -1 && before < this.#doomed ? this.#doomed - 1 : this.#doomed;
    const list = [...kept, op];
    const isDoomed = (this.#doomable & bit) !== 0;
    const parts = {
      ...this.#parts,
      applied: this.applied | bit,
      again: op.repeats ? this.again | bit : this.again & ~bit,
      lost,
      lastTick: tick,
      doomed: isDoomed ? list.length : doomed,
    };
    return new SectorState(list, parts);
  }

  /**
   * A write that was not acknowledged, and that nobody saw, is over. It may have happened before
   * the last one, when that came after its beginning: then power loss may show it.
   */
  withGhost(op: HistoryOp): SectorState {
    if (this.list.length < 2 || op.start > this.#lastTick) return this;
    const list = [...this.list.slice(0, -1), op, this.last];
    const isShifted = this.#doomed >= this.list.length;
    return new SectorState(list, {
      ...this.#parts,
      doomed: isShifted ? this.#doomed + 1 : this.#doomed,
    });
  }

  /** A flush that said ok covers what was acknowledged before it began; null: it cannot have. */
  flushed(flush: HistoryOp): SectorState | null {
    const { start } = flush;
    for (const { op, from, reportedAt, supersededAt } of this.#lost) {
      if (op.session !== flush.session || from > start) continue;
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
    return this.#with({ lost });
  }

  /** Power was lost, and `left` is what the medium has. */
  afterLoss(left: HistoryOp, loss: Loss): SectorState {
    let { applied, again } = this;
    const lost = loss.isReported ? [] : [...this.#lost];
    const index = this.list.lastIndexOf(left);
    // What is not in the list may have happened before `left`, when that was not in it either.
    const gone = new Set(index === -1 ? [] : this.list.slice(index + 1));
    for (const [op, bit] of loss.pending) {
      // Has it taken effect, and been flushed over?
      const isOver = (this.applied & bit) !== 0 && !this.list.includes(op);
      if (index !== -1 && !isOver && !this.list.includes(op)) gone.add(op);
      // One under way that is gone may have been answered before the loss, but not with FUA.
      const mustHappenAgain = op.fua && !loss.flushLies && gone.has(op);
      applied = mustHappenAgain ? applied & ~bit : applied | bit;
      again |= bit;
    }
    if (!loss.isReported) {
      for (const op of gone) {
        const at = this.list.lastIndexOf(op);
        if (op.outcome !== "ok" || (at !== -1 && at < this.#doomed)) continue;
        lost.push({ op, from: loss.from, reportedAt: NEVER, supersededAt: NEVER });
      }
    }
    const { satisfied } = this;
    return new SectorState([left], {
      ...FIRST_PARTS,
      applied,
      again,
      satisfied,
      lost,
      lastTick: loss.tick,
    });
  }

  /** All is gone, and `left` is there instead. */
  wiped(left: HistoryOp, loss: Loss): SectorState {
    const gone = new SectorState([left, ...this.list.slice(1)], { ...this.#parts, doomed: 0 });
    return gone.afterLoss(left, loss);
  }

  /** A sync has failed: what is not durable may be lost, whatever is flushed later. */
  doomed(pendingBits: number): SectorState {
    const doomed = this.list.length === 1 ? 0 : this.list.length;
    return this.#with({ doomed, doomable: this.#doomable | pendingBits });
  }

  /** The page cache lets go of what a failed sync could not write: of that, or of nothing. */
  reverts(): SectorState[] {
    if (this.#doomed < this.list.length) return [this];
    return this.list.map((_, index) => {
      const list = this.list.slice(0, index + 1);
      return new SectorState(list, { ...this.#parts, doomed: list.length });
    });
  }

  /** Another content, whatever was there. */
  replacedBy(op: HistoryOp): SectorState {
    return new SectorState([op], { ...this.#parts, doomed: 0 });
  }

  #durableFrom(index: number): SectorState {
    const doomed = Math.max(0, this.#doomed - index);
    return new SectorState(this.list.slice(index), { ...this.#parts, doomed });
  }

  get #parts(): Parts {
    return {
      applied: this.applied,
      again: this.again,
      satisfied: this.satisfied,
      doomable: this.#doomable,
      doomed: this.#doomed,
      lastTick: this.#lastTick,
      lost: this.#lost,
    };
  }

  #with(change: Partial<Parts>): SectorState {
    return new SectorState(this.list, { ...this.#parts, ...change });
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
    repeats: false,
    outcome: "ok",
    seen: null,
    differs: -1,
  };
}
