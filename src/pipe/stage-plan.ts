/**
 * What a parsed and checked stage is: ready to be opened, nothing opened yet.
 *
 * Plans are made without I/O, on any thread, from the text alone, so that every mistake in a text
 * is found before the first file is touched. Immutable.
 */

import type { Device } from "../block/device.ts";
import type { ChildFault } from "../nexus/child-state.ts";
import type { LegFacts } from "../nexus/mirror-info.ts";
import type { Joint } from "../block/joint.ts";
import type { SocketAddress } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import type { CallStage, Stage, UriStage } from "./ast.ts";
import { GrammarError } from "./grammar-error.ts";

/** What a stage gets when it is opened. */
export interface OpenContext {
  readonly reactor: Reactor;
  /** Who opens it, for the message that others get who want the same medium. */
  readonly holder: string;
  /** A UUID that no opening before had, for devices whose content is new each time. */
  readonly instanceSeed: string;
  /** A UUID that stays the pipe's from run to run, so that servers know us again. Absent: none. */
  readonly hostSeed?: string;
  /** Under a mirror: an initiator gives up soon instead of riding out an outage. */
  readonly failFast?: boolean;
  /** Under a mirror: other hosts are kept from having the same in a mirror, where that can be. */
  readonly claims?: boolean;
  /** Only for a look: a source reads only, and keeps nobody away who would write. */
  readonly glance?: boolean;
  /** Where the branch stands: "" for the pipe's own, "1.2." for the second leg of its source. */
  readonly place?: string;
  /** Legs that were taken out before, in any run: they are not opened. */
  readonly outLegs?: readonly OutLeg[];
  /** True: a run before may have ended in the middle of writes, so that legs differ there. */
  readonly reopened?: boolean;
  /**
   * Settles when it is durable that a leg is out; rejects when it never will be. Absent: nobody
   * records it.
   */
  recordOut?(leg: OutLeg): Promise<void>;
  /** Gets what people should know of, as it happens. Never blocks. Absent: nobody listens. */
  report?(event: PipeEvent): void;
  /** The device of the stage that is labelled so, in any pipe of this reactor. Absent: none. */
  findStage?(label: string): TappedStage | undefined;
  /** A pool of this reactor that is open. Absent: there are none. */
  findPool?(name: string): VolumeOpener | undefined;
}

/** What a stage needs of a pool. */
export interface VolumeOpener {
  /** Whoever opens closes. @throws PenstockError `volume-not-found`, `volume-in-use` */
  openVolume(
    name: string,
    options: { readonly readOnly: boolean; readonly stageName: string },
  ): Promise<Device>;
}

/** A volume by its names. */
export interface VolumeName {
  readonly pool: string;
  /** Its name, or its UUID. */
  readonly volume: string;
}

/** A leg that was taken out of its mirror: it lacks what was written since. Plain values. */
export interface OutLeg extends LegFacts {
  /** Its place: "1.2" is the second leg of the first stage. */
  readonly leg: string;
  readonly fault: ChildFault;
}

/** A leg as a mirror gets it. */
export type OpenLeg = { readonly top: Joint } | { readonly out: OutLeg };

/** The place of leg `index` (from 0) of the source of the branch that `context` opens. */
export function placeOfLeg({ place = "" }: OpenContext, index: number): string {
  return `${place}1.${index + 1}`;
}

/** Something that happened to a pipe: a child faulted, a request was logged. Plain values. */
export interface PipeEvent {
  readonly level: "info" | "warning" | "error";
  /** Stable: "child-faulted", "mirror-without-metadata", "log". */
  readonly code: string;
  /** Canonical text of the stage that it happened to. */
  readonly stage: string;
  readonly message: string;
}

/** A stage of another pipe, to be read through a tap. */
export interface TappedStage {
  readonly device: Device;
  /** Until `release` the stage stays where it is: neither removed nor closed. */
  claim(tap: Joint, holder: string): void;
  release(tap: Joint): void;
}

export interface SourcePlan {
  /** The label of the stage that it taps: it must live on that stage's reactor. */
  readonly taps?: string;
  /** The volume that it is: it must live on its pool's reactor. */
  readonly volume?: VolumeName;
  /** The pipes, without shares, that it stands on: a mirror's legs. Absent: none. */
  readonly legs?: readonly BranchPlan[];
  /** The servers that it uses, which may be this process. */
  readonly servers?: readonly SocketAddress[];
  /** Others may write what it stands on as well: nothing may rely on its keeping what it has. */
  readonly isShared?: true;
  /** What it may take, in ms, to go on without a leg that hangs. Absent: it does not. */
  readonly patienceMs?: number;
  /**
   * Opens and claims. Whoever opens it closes it.
   * @param legs one for each of `legs`, in their order: its top, opened, or what is recorded of one
   *   that is out and not open; it does not close these
   */
  open(context: OpenContext, legs: readonly OpenLeg[]): Promise<Device>;
}

export interface FilterPlan {
  /**
   * Why it cannot be put into or taken out of a pipe that runs ("crypt changes what is stored"),
   * or null: it keeps size and data, so it can.
   */
  readonly fixedBecause: string | null;
  /** On top of `below`, which the filter does not close. */
  open(context: OpenContext, below: Joint): Promise<Device>;
  /** Gives the device that a plan of the same name opened this plan's settings. Absent: cannot. */
  change?(device: Device): void;
}

/** A source and the filters on it: a pipe without its share. */
export interface BranchPlan {
  readonly source: SourcePlan;
  readonly sourceStage: Stage;
  /** In the order of the text: the last one is on top. */
  readonly filters: readonly FilterPlan[];
  readonly filterStages: readonly CallStage[];
}

/** All volumes that a branch stands on. */
export function volumesOf({ source }: BranchPlan): VolumeName[] {
  const below = (source.legs ?? []).flatMap(volumesOf);
  return source.volume === undefined ? below : [...below, source.volume];
}

/** One option of a stage, for `--help`. */
export interface OptionHelp {
  readonly key: string;
  /** The form of its value: SIZE, BOOLEAN, ... */
  readonly value: string;
  readonly text: string;
}

/** @throws GrammarError `unexpected-host`: this scheme has a path only */
export function refuseHost(text: string, stage: UriStage): void {
  if (stage.host === "" && stage.port === undefined) return;
  throw new GrammarError({
    code: "unexpected-host",
    text,
    span: stage.authoritySpan,
    message:
      `found a host in ${stage.scheme}://, expected none: ` +
      `write ${stage.scheme}:///NAME with three slashes`,
  });
}
