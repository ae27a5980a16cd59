/**
 * MirrorOptions: what a mirror is made of, and what it tells. Values and callbacks, no state.
 */

import type { MirrorLeg } from "./child.ts";
import type { ChildFault } from "./child-state.ts";
import type { Membership } from "./membership.ts";
import type { LegFacts } from "./mirror-info.ts";
import type { OrphanLimits } from "./orphans.ts";
import type { ReadPolicy } from "./read-policy.ts";
import type { WriteIntent } from "./write-intent.ts";

export const CHILD_TIMEOUT_MS_DEFAULT = 5000;

/** Something that people should know of. */
export interface MirrorEvent {
  readonly level: "warning" | "error";
  readonly code: "mirror-without-metadata" | "child-faulted" | "last-child-failed" | "legs-differ";
  readonly message: string;
}

/** A child that was taken out in an earlier run: what it was keeps the mirror what it was. */
export interface OutChild extends LegFacts {
  /** Of its leg, from 0, counting all legs. */
  readonly number: number;
  readonly name: string;
  readonly fault: ChildFault;
}

export interface MirrorOptions {
  /** Canonical text of the stage. */
  readonly name: string;
  /** 1 to 16. Their owner closes them, after the mirror. */
  readonly legs: readonly MirrorLeg[];
  readonly childTimeoutMs?: number;
  /** Default: local. */
  readonly readPolicy?: ReadPolicy;
  /** Told as it happens, also in the reactor's turn. Must not throw. */
  readonly onEvent?: (event: MirrorEvent) => void;
  readonly membership?: Membership;
  /** Taken out in an earlier run: listed, and not used. */
  readonly outLegs?: readonly OutChild[];
  /** A run before may have ended in the middle of writes: reads go to one child. Default false. */
  readonly legsMayDiffer?: boolean;
  readonly writeIntent?: WriteIntent;
  readonly orphanLimits?: OrphanLimits;
}

/** What all legs state, in their order, those that are out too. */
export function factsOf({ legs, outLegs = [] }: MirrorOptions): LegFacts[] {
  const open = legs.map(({ joint, number }, index) => ({ number: number ?? index, is: joint }));
  const out = outLegs.map((leg) => ({ number: leg.number, is: leg }));
  return [...open, ...out].sort((a, b) => a.number - b.number).map(({ is }) => is);
}
