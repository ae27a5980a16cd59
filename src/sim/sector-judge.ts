/**
 * SectorJudge: whether one sector of 512 bytes can have behaved as a history says.
 *
 * It keeps all states that the sector may be in (`SectorState`) and takes them through the events
 * in their order. A pending write takes effect when something forces it to have done so: its own
 * answer, a read that saw it, a loss of power. A state that cannot explain an event is dropped;
 * when none is left, no disk can have answered so. Reads count from their beginning: whatever value
 * was there at some moment of theirs satisfies them. (The search of Wing and Gong with the lateness
 * of Lowe, "Testing for linearizability", 2017, extended by loss.)
 */

import { assert, unreachable } from "../util/assert.ts";
import type { HistoryEvent, HistoryOp, HistoryOptions, Violation } from "./history.ts";
import { FIRST_WRITE, type Loss, ROTTEN, SectorState, SLOTS_MAX } from "./sector-state.ts";
import { describeValue, sectorLines } from "./sector-lines.ts";
import { UNSEEN } from "./sector-pattern.ts";

/** More states than this at once: the sector is given up, and counted as undecided. */
const STATES_MAX = 4000;
/** From so many states on those are dropped that others make superfluous. */
const PRUNE_FROM = 6;

export interface SectorFacts {
  readonly sector: number;
  /** Operations that touch it, in the order of their beginnings. */
  readonly ops: readonly HistoryOp[];
  /** Flushes that said something. */
  readonly flushes: readonly HistoryOp[];
  readonly events: readonly HistoryEvent[];
}

const Moment = { start: 0, end: 1, close: 2, flushed: 3, event: 4 } as const;

interface TimelineEntry {
  readonly tick: number;
  readonly moment: (typeof Moment)[keyof typeof Moment];
  readonly op: HistoryOp | null;
  readonly event: HistoryEvent | null;
}

/**
 * The order of so many writes under way, none of them acknowledged, is looked at in full. Of more,
 * only the order of their answers: the others would matter to a flush that covers some of them.
 */
const PERMUTED_MAX = 4;

class TooManyStates extends Error {}

export class SectorJudge {
  isUndecided = false;
  readonly #facts: SectorFacts;
  readonly #options: HistoryOptions;
  /** Operations that have begun, by the slot that stands for them in the states' bit masks. */
  readonly #slots: (HistoryOp | null)[] = [];
  readonly #slotOf = new Map<HistoryOp, number>();
  #states: SectorState[] = [new SectorState([FIRST_WRITE])];
  /** Of the event that is looked at. */
  #tick = 0;

  constructor(facts: SectorFacts, options: HistoryOptions) {
    this.#facts = facts;
    this.#options = options;
  }

  judge(): Violation | null {
    try {
      for (const entry of this.#timeline()) {
        const before = this.#states;
        this.#tick = entry.tick;
        this.#take(entry);
        if (this.#states.length === 0) return this.#violation(entry, before);
        if (this.#states.length > 1) this.#dedupe();
      }
    } catch (thrown) {
      if (!(thrown instanceof TooManyStates)) throw thrown;
      this.isUndecided = true;
    }
    return null;
  }

  #timeline(): TimelineEntry[] {
    const { sector, ops, flushes, events } = this.#facts;
    const timeline: TimelineEntry[] = [];
    for (const op of ops) {
      if (op.outcome === "refused" && op.differs !== sector && !this.#sawEqual(op)) continue;
      timeline.push({ tick: op.start, moment: Moment.start, op, event: null });
      if (op.end < Number.POSITIVE_INFINITY) {
        timeline.push({ tick: op.end, moment: Moment.end, op, event: null });
      }
      if (isWriter(op) && op.closed > op.end && op.closed < Number.POSITIVE_INFINITY) {
        timeline.push({ tick: op.closed, moment: Moment.close, op, event: null });
      }
    }
    for (const op of flushes) {
      timeline.push({ tick: op.end, moment: Moment.flushed, op, event: null });
    }
    for (const event of events) {
      if (sector < event.first || sector >= event.first + event.count) continue;
      timeline.push({ tick: event.tick, moment: Moment.event, op: null, event });
    }
    return timeline.sort((one, other) => one.tick - other.tick);
  }

  #take({ moment, op, event }: TimelineEntry): void {
    if (event !== null) this.#befall(event);
    else if (op === null) return;
    else if (moment === Moment.start) this.#start(op);
    else if (moment === Moment.end) this.#end(op);
    else if (moment === Moment.close) this.#close(op);
    else if (op.outcome === "data-lost") this.#each((state) => state.lossReported(op));
    else this.#each((state) => state.flushed(op));
  }

  #start(op: HistoryOp): void {
    let slot = this.#slots.indexOf(null);
    if (slot === -1) slot = this.#slots.length;
    if (slot >= SLOTS_MAX) throw new TooManyStates();
    this.#slots[slot] = op;
    this.#slotOf.set(op, slot);
    if (isWriter(op)) return;
    const bit = 1 << slot;
    this.#each((state) => (this.#isSeen(state, op) ? state.withSatisfied(bit) : state));
  }

  #end(op: HistoryOp): void {
    if (!isWriter(op)) {
      this.#endRead(op);
      return;
    }
    if (op.outcome === "ok") {
      this.#mustHaveHappened(op);
      if (op.fua && this.#options.flushLies !== true) this.#each((state) => state.forced(op));
      this.#release(op);
    } else if (op.closed <= op.end) {
      this.#close(op);
    }
  }

  /** A comparison or a read must have found what it reports at some moment since its start. */
  #endRead(op: HistoryOp): void {
    const bit = 1 << this.#slot(op);
    if (this.#mustSee(op)) {
      const kept: SectorState[] = [];
      for (const state of this.#states) {
        if ((state.satisfied & bit) !== 0) kept.push(state);
        else this.#reachSatisfied(state, bit, kept);
      }
      this.#states = kept;
    }
    this.#release(op);
  }

  /** States in which the read with `bit` has just seen what it reports. */
  #reachSatisfied(state: SectorState, bit: number, kept: SectorState[]): void {
    const writes = this.#relevant(null);
    const isFew = writes.length <= PERMUTED_MAX && writes.every(({ repeats }) => !repeats);
    if (isFew || writes.some(({ expected }) => expected !== null)) {
      this.#expand(state, (next) => this.#keepIf((next.satisfied & bit) !== 0, next, kept));
      return;
    }
    for (const write of writes) {
      if (!this.#canApply(state, write, this.#slot(write))) continue;
      if ((this.#applied(state, write).satisfied & bit) === 0) continue;
      this.#applyWithOthers(state, write, kept);
    }
  }

  #mustHaveHappened(op: HistoryOp): void {
    const bit = 1 << this.#slot(op);
    const kept: SectorState[] = [];
    for (const state of this.#states) {
      if ((state.applied & bit) !== 0) kept.push(state);
      // Lost with the power and sent again, or answered before.
      if ((state.applied & bit) !== 0 && (state.again & bit) === 0) continue;
      this.#applyWithOthers(state, op, kept);
    }
    this.#states = kept;
  }

  /**
   * States in which `op` takes effect now, with others under way before it or not.
   *
   * When it has just been acknowledged, flushes that cover those others cover it as well, since
   * they are answered later: their order does not matter, but for those with FUA, and most is left
   * open when these come first. One that may be done several times is done: it may come again.
   */
  #applyWithOthers(state: SectorState, op: HistoryOp, kept: SectorState[]): void {
    const others = this.#relevant(op).filter((other) => other !== op);
    if (![op, ...others].every(({ expected }) => expected === null)) {
      this.#expand(state, (next) => this.#keepIf(next.last === op, next, kept));
      return;
    }
    let reached = [state];
    const forced = new Set(others.filter(({ fua }) => fua));
    const keep = (next: SectorState) => reached.push(next) > 0;
    this.#expand(state, keep, forced);
    for (const other of others.sort((one, two) => one.end - two.end)) {
      if (forced.has(other) || !this.#canApply(state, other, this.#slot(other))) continue;
      const applied = reached.map((each) => this.#applied(each, other));
      reached = other.repeats ? applied : [...reached, ...applied];
      if (kept.length + reached.length > STATES_MAX) throw new TooManyStates();
    }
    for (const each of reached) kept.push(this.#applied(each, op));
  }

  #applied(state: SectorState, op: HistoryOp): SectorState {
    return this.#see(state.withApplied(op, 1 << this.#slot(op), this.#tick));
  }

  /** Of an operation under way. */
  #slot(op: HistoryOp): number {
    const slot = this.#slotOf.get(op);
    assert(slot !== undefined, "an operation under way has its slot");
    return slot;
  }

  /** It has happened by now or never will. */
  #close(op: HistoryOp): void {
    if (isWriter(op)) {
      const bit = 1 << this.#slot(op);
      const kept: SectorState[] = [];
      for (const state of this.#states) {
        const isDone = (state.applied & bit) !== 0;
        kept.push(isDone ? state : state.withGhost(op));
        if (isDone && (state.again & bit) === 0) continue;
        const relevant = new Set(this.#relevant(op));
        this.#expand(state, (next) => this.#keepIf(next.last === op, next, kept), relevant);
      }
      this.#states = kept;
    }
    this.#release(op);
  }

  #befall(event: HistoryEvent): void {
    switch (event.kind) {
      case "rot":
        this.#each((state) => this.#see(state.replacedBy(ROTTEN)));
        return;
      case "doom": {
        const bits = this.#pendingBits();
        this.#each((state) => state.doomed(bits));
        return;
      }
      case "drop-cache":
        this.#states = this.#states.flatMap((state) => this.#seeAll(state.reverts()));
        return;
      case "power-loss":
      case "wipe":
        this.#lose(event);
        return;
      default:
        unreachable(event.kind);
    }
  }

  #lose(event: HistoryEvent): void {
    // Reads under way may have seen before the loss what a write under way wrote.
    const wanted = new Set(
      [...this.#slotOf.keys()].filter((op) => isWriter(op) && this.#isWanted(op)),
    );
    const reached = [...this.#states];
    const keep = (state: SectorState) => reached.push(state) > 0;
    for (const state of this.#states) this.#expand(state, keep, wanted);
    const loss: Loss = {
      tick: event.tick,
      pending: this.#pendingWrites(),
      isReported: event.isReported,
      // A flush of memory that is gone now has made nothing durable, whenever it was done.
      from: event.kind === "wipe" ? event.tick : 0,
      // Nothing is durable that is in memory.
      flushLies: this.#options.flushLies === true || event.kind === "wipe",
    };
    const lost = reached.flatMap((state) => {
      if (event.kind === "wipe") return [state.wiped(FIRST_WRITE, loss)];
      const unapplied = [...loss.pending.keys()].filter((op) => !state.list.includes(op));
      return [...new Set([...state.list, ...unapplied])].map((op) => state.afterLoss(op, loss));
    });
    this.#states = this.#seeAll(lost);
    this.#dedupe();
  }

  /**
   * All states that pending writes lead to, until `visit` says false: it has what it needs. Only
   * writes that matter now (`relevant`): those that are or will be seen, or acknowledged. Of others
   * it is enough to remember that they may have happened (`withGhost`).
   */
  #expand(
    from: SectorState,
    visit: (state: SectorState) => boolean,
    relevant: ReadonlySet<HistoryOp> = new Set(this.#relevant(null)),
  ): void {
    const visited = new Set<string>();
    const stack = [from];
    for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
      for (let slot = 0; slot < this.#slots.length; slot++) {
        const op = this.#slots[slot] as HistoryOp | null;
        if (op === null || !relevant.has(op) || !this.#canApply(state, op, slot)) continue;
        const next = this.#see(state.withApplied(op, 1 << slot, this.#tick));
        const { key } = next;
        if (visited.has(key)) continue;
        visited.add(key);
        if (visited.size > STATES_MAX) throw new TooManyStates();
        if (visit(next)) stack.push(next);
      }
    }
  }

  #canApply(state: SectorState, op: HistoryOp, slot: number): boolean {
    const bit = 1 << slot;
    if ((state.applied & bit) !== 0 && (state.again & bit) === 0) return false;
    if (state.last === op) return false;
    // Sent again after a loss of power: it has compared before.
    if (op.expected === null || (state.again & bit) !== 0) return true;
    return op.expected[this.#facts.sector - op.first] === state.last.value;
  }

  /** Keeps a state that explains what it must; others are explored further. */
  #keepIf(isKept: boolean, state: SectorState, kept: SectorState[]): boolean {
    if (isKept) kept.push(state);
    if (kept.length > STATES_MAX) throw new TooManyStates();
    return !isKept;
  }

  /** The state, with the reads satisfied that see what is there now. */
  #see(state: SectorState): SectorState {
    let satisfied = 0;
    for (let slot = 0; slot < this.#slots.length; slot++) {
      const op = this.#slots[slot] as HistoryOp | null;
      if (op !== null && !isWriter(op) && this.#isSeen(state, op)) satisfied |= 1 << slot;
    }
    return state.withSatisfied(satisfied);
  }

  #seeAll(states: SectorState[]): SectorState[] {
    return states.map((state) => this.#see(state));
  }

  #mustSee(op: HistoryOp): boolean {
    const { sector } = this.#facts;
    if (op.differs === sector) return true;
    return this.#sawEqual(op) || (op.seen?.[sector - op.first] ?? UNSEEN) !== UNSEEN;
  }

  /** What the read or comparison saw is there in this state. */
  #isSeen(state: SectorState, op: HistoryOp): boolean {
    const index = this.#facts.sector - op.first;
    const { value } = state.last;
    if (op.differs === this.#facts.sector) return op.expected?.[index] !== value;
    if (this.#sawEqual(op)) return op.expected?.[index] === value;
    const seen = op.seen?.[index] ?? UNSEEN;
    return seen !== UNSEEN && seen === value;
  }

  /** A comparison found this sector equal. */
  #sawEqual(op: HistoryOp): boolean {
    if (op.expected === null) return false;
    if (op.outcome === "ok") return true;
    return op.outcome === "refused" && op.differs > this.#facts.sector;
  }

  /** Writes under way that matter now: see `#expand`. */
  #relevant(also: HistoryOp | null): HistoryOp[] {
    return [...this.#slotOf.keys()].filter(
      (op) => isWriter(op) && (op === also || op.outcome === "ok" || this.#isWanted(op)),
    );
  }

  /** Somebody under way has seen it, perhaps, or compares with it. */
  #isWanted(write: HistoryOp): boolean {
    const { sector } = this.#facts;
    for (const op of this.#slots as readonly (HistoryOp | null)[]) {
      if (op === null || op === write) continue;
      const index = sector - op.first;
      if (isWriter(op)) {
        if (op.expected?.[index] === write.value) return true;
      } else if (op.differs === sector) {
        if (op.expected?.[index] !== write.value) return true;
      } else {
        const seen = this.#sawEqual(op) ? op.expected?.[index] : op.seen?.[index];
        if (seen === write.value) return true;
      }
    }
    return false;
  }

  #pendingWrites(): Map<HistoryOp, number> {
    const pending = new Map<HistoryOp, number>();
    for (const [op, slot] of this.#slotOf) if (isWriter(op)) pending.set(op, 1 << slot);
    return pending;
  }

  #pendingBits(): number {
    let bits = 0;
    for (const bit of this.#pendingWrites().values()) bits |= bit;
    return bits;
  }

  #release(op: HistoryOp): void {
    const slot = this.#slot(op);
    this.#slots[slot] = null;
    this.#slotOf.delete(op);
    this.#each((state) => state.withoutSlot(1 << slot));
  }

  #each(change: (state: SectorState) => SectorState | null): void {
    const changed: SectorState[] = [];
    for (const state of this.#states) {
      const next = change(state);
      if (next !== null) changed.push(next);
    }
    this.#states = changed;
  }

  #dedupe(): void {
    if (this.#states.length < 2) return;
    const byKey = new Map<string, SectorState>();
    for (const state of this.#states) byKey.set(state.key, state);
    this.#states = [...byKey.values()];
    if (this.#states.length > PRUNE_FROM) this.#states = withoutDominated(this.#states);
    if (this.#states.length > STATES_MAX) throw new TooManyStates();
  }

  #violation(entry: TimelineEntry, before: readonly SectorState[]): Violation {
    const { sector } = this.#facts;
    const possible = new Set(before.flatMap(({ list }) => describeValue(list.at(-1)?.value)));
    const { op } = entry;
    const where = `sector ${sector}`;
    const held = [...possible].join(" or ");
    const lines = sectorLines(this.#facts, entry.tick);
    if (op === null) return { kind: "data", message: `${where}: nothing explains it`, lines };
    const what = `operation ${op.id} (${op.kind} by ${op.client})`;
    if (entry.moment === Moment.flushed) {
      const message = `${where}: ${what} said ok, though an acknowledged write had been lost`;
      return { kind: "loss-not-reported", message, lines };
    }
    const index = sector - op.first;
    const seen = op.seen === null ? "what it reports" : describeValue(op.seen[index]);
    const message = isWriter(op)
      ? `${where}: ${what} said ok, but cannot have happened; it held ${held}`
      : `${where}: ${what} saw ${seen}; it may have held ${held}`;
    return { kind: "data", message, lines };
  }
}

/** States that allow everything which the others allow. */
function withoutDominated(states: readonly SectorState[]): SectorState[] {
  const families = new Map<string, SectorState[]>();
  for (const state of states) {
    const { family } = state;
    const kept = families.get(family) ?? [];
    if (kept.some((other) => other.dominates(state))) continue;
    families.set(family, [...kept.filter((other) => !state.dominates(other)), state]);
  }
  return [...families.values()].flat();
}

function isWriter(op: HistoryOp): boolean {
  return op.value !== UNSEEN && op.outcome !== "refused";
}
