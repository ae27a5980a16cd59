/**
 * Child: one leg of a mirror: the joint it is reached through, its state, its counters, and the
 * requests that it has in flight, oldest first. Owned by its mirror; the leg itself belongs to
 * whoever composed the pipe.
 */

import type { Joint } from "../block/joint.ts";
import { LatencySampler } from "../block/latency-sampler.ts";
import { Operation } from "../block/operation.ts";
import { type ChildState, IN_SYNC } from "./child-state.ts";
import { type LegOwner, LegRequest } from "./leg-request.ts";

/** A mirror has at most this many children: sets of them are bits of one number. */
export const CHILDREN_MAX = 16;

/** A leg as it is given to a mirror. */
export interface MirrorLeg {
  readonly joint: Joint;
  /** Its place among all legs, those that are out too, from 0. Default: among these. */
  readonly number?: number;
  /** On this machine: preferred for reads by the policy `local`. */
  readonly isLocal: boolean;
  /** Canonical text of all of it, for messages and listings. Default: its topmost stage's name. */
  readonly name?: string;
}

export class Child {
  readonly name: string;
  /** Among the mirror's children, from 0. */
  readonly index: number;
  /** Of its leg, among all legs, those that were out before too, from 0. */
  readonly number: number;
  /** Of `index`, for sets of children. */
  readonly bit: number;
  readonly joint: Joint;
  readonly isLocal: boolean;
  state: ChildState = IN_SYNC;
  /** Requests that the mirror waits for. */
  inFlight = 0;
  reads = 0;
  writes = 0;
  /** Flushes, discards, write-zeroes, block status. */
  others = 0;
  /** Bytes that it was asked for. */
  readBytes = 0;
  writeBytes = 0;
  /** Until it answers, or is let go. */
  readonly latency: LatencySampler;
  /** Requests that ended with an error, or not in time. */
  errors = 0;
  orphanCount = 0;
  orphanBytes = 0;
  oldest: LegRequest | null = null;
  #newest: LegRequest | null = null;
  #free: LegRequest | null = null;
  readonly #owner: LegOwner;

  constructor(index: number, leg: MirrorLeg, owner: LegOwner) {
    this.index = index;
    this.number = leg.number ?? index;
    this.bit = 1 << index;
    this.joint = leg.joint;
    this.isLocal = leg.isLocal;
    this.name = leg.name ?? leg.joint.info.name;
    this.latency = new LatencySampler(leg.joint.reactor.clock);
    this.#owner = owner;
  }

  /** A request to fill and `submit`. Hot path. */
  take(): LegRequest {
    const leg = this.#free;
    if (leg === null) return new LegRequest(this, this.#owner);
    this.#free = leg.nextFree;
    leg.nextFree = null;
    return leg;
  }

  /** Hot path. */
  submit(leg: LegRequest, nowMs: number): void {
    leg.submittedMs = nowMs;
    const newest = this.#newest;
    leg.older = newest;
    if (newest === null) this.oldest = leg;
    else newest.newer = leg;
    this.#newest = leg;
    this.inFlight++;
    this.#count(leg);
    this.latency.begin(leg);
    // The mirror has checked the client's request against the narrowest limits of all legs.
    this.joint.submitChecked(leg);
  }

  /** The mirror does not wait for it any more: it has ended, or is let go. Hot path. */
  unlink(leg: LegRequest): void {
    const { older, newer } = leg;
    if (older === null) this.oldest = newer;
    else older.newer = newer;
    if (newer === null) this.#newest = older;
    else newer.older = older;
    leg.older = null;
    leg.newer = null;
    this.inFlight--;
    this.latency.end(leg);
  }

  /** It has ended and nobody looks at it any more. Hot path. */
  give(leg: LegRequest): void {
    leg.task = null;
    leg.nextFree = this.#free;
    this.#free = leg;
  }

  /** Hot path. */
  #count(leg: LegRequest): void {
    if (leg.operation === Operation.read) {
      this.reads++;
      this.readBytes += leg.length;
    } else if (leg.operation === Operation.write) {
      this.writes++;
      this.writeBytes += leg.length;
    } else this.others++;
  }

  /** JSON for listings. */
  describe(): Readonly<Record<string, unknown>> {
    const { state } = this;
    return {
      name: this.name,
      state: state.name,
      ...(state.name === "faulted" ? { fault: state.fault } : {}),
      local: this.isLocal,
      inFlight: this.inFlight,
      reads: this.reads,
      writes: this.writes,
      others: this.others,
      errors: this.errors,
      orphans: { count: this.orphanCount, bytes: this.orphanBytes },
    };
  }
}
