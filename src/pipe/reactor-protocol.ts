/**
 * What the main thread and a reactor's thread say to each other. Plain values only.
 */

import type { DeviceDetails } from "../block/device.ts";
import type { DeviceTicket } from "../block/proxy-wire.ts";
import type { SocketAddress } from "../reactor/io.ts";
import type { RealLevel } from "../reactor/level-capabilities.ts";
import type { SharedSlabTable } from "../reactor/slab-space-shared.ts";
import type { ConnectionCounts } from "../shares/listening-port.ts";
import type { PoolEvent } from "../pool/pool-environment.ts";
import type { HistogramSnapshot } from "../util/histogram-snapshot.ts";
import type { PipeState } from "./composer.ts";
import type { PoolMethods } from "./pool-protocol.ts";
import type { Change, Insertion, Removal, StageListing } from "./replumb.ts";
import type { ShareKind } from "./share-plan.ts";
import type { ShareAnnouncement, ShareCounts, ShareHandOff } from "./shares/share-service.ts";
import type { OutLeg, PipeEvent } from "./stage-plan.ts";
import type { StageStats } from "./stage-stats.ts";
import type { VersionMethods } from "./version-protocol.ts";

/** A reactor's `workerData`. */
export interface ReactorSettings {
  /** From 0. */
  readonly id: number;
  readonly level: RealLevel;
  readonly bufferLimitBytes: number | undefined;
  readonly spinMsMax: number | undefined;
  /** For the pages of each pool. */
  readonly poolCacheBytes: number | undefined;
  /** One for all reactors of the process; undefined at the portable level. */
  readonly slabTable: SharedSlabTable | undefined;
}

export interface PipeOpening {
  readonly pipeId: number;
  readonly text: string;
  /** A UUID of this opening, see OpenContext. */
  readonly instanceSeed: string;
  /** The main thread keeps a record of the legs that are out: those in it. Absent: it does not. */
  readonly record?: PipeRecord;
}

/** What was kept of a pipe from run to run. */
export interface PipeRecord {
  readonly outLegs: readonly OutLeg[];
  /** It was open in a run before. */
  readonly reopened: boolean;
  /** See OpenContext. */
  readonly hostSeed?: string;
}

export interface ShareOpening {
  readonly pipeId: number;
  readonly address: SocketAddress;
  /** See `PipeOpenOptions`. */
  readonly reservationsPath?: string;
}

/** What a reactor calls on the main thread. */
export interface MainMethods {
  /** Settles when it is durable. */
  recordOut(params: { readonly pipeId: number; readonly leg: OutLeg }): Promise<void>;
}

/** Nanoseconds from reading a command's header to sending its reply. */
export interface ShareLatency {
  readonly reads: HistogramSnapshot;
  readonly writes: HistogramSnapshot;
  readonly others: HistogramSnapshot;
}

export interface PipeStats {
  readonly pipeId: number;
  readonly state: PipeState;
  readonly failure: string | null;
  /** Null where the share is on another reactor. */
  readonly share: ShareCounts | null;
  readonly shareLatency: ShareLatency | null;
  /** Legs before what stands on them, bottom up; empty where they are on another reactor. */
  readonly stages: readonly StageStats[];
}

/** Since the reactor started; times in ms. */
export interface ReactorStats {
  readonly reactor: number;
  readonly bufferLimitBytes: number;
  readonly bufferAllocatedBytes: number;
  readonly bufferHeldBytes: number;
  /** Who waits for a buffer now. */
  readonly bufferWaiters: number;
  /** Processor time of its thread; of that, looking for work in vain. */
  readonly cpuMs: number;
  readonly spinMs: number;
  /** Where the level counts them, else 0. */
  readonly turns: number;
  readonly sleeps: number;
  readonly blocks: number;
  readonly rests: number;
  readonly ioCompletions: number;
  /** Requests in its stages and completions to be delivered, now. */
  readonly queue: number;
  /** Open now, those that still negotiate too. */
  readonly connections: number;
  readonly connectionCounts: Readonly<ConnectionCounts>;
  readonly pipes: readonly PipeStats[];
}

/** The stages of a pipe as they are now. */
export interface PipeTree {
  /** Canonical, without the share. */
  readonly text: string;
  /** Bottom up. */
  readonly stages: readonly StageListing[];
}

/** One listener: an address may be listened on by one protocol. */
export interface ListenerName {
  readonly kind: ShareKind;
  readonly address: SocketAddress;
}

/** What the main thread calls on a reactor. */
export interface ReactorMethods extends PoolMethods, VersionMethods {
  /** Opens the Io. First call. */
  start(params: null): Promise<void>;
  openDevices(params: PipeOpening): Promise<void>;
  /** Makes the opened devices usable on another reactor. */
  serveDevices(params: {
    readonly pipeId: number;
    readonly toReactor: number;
  }): Promise<DeviceTicket>;
  openProxy(params: PipeOpening & { readonly ticket: DeviceTicket }): Promise<void>;
  listen(params: ListenerName): Promise<SocketAddress>;
  unlisten(params: ListenerName): Promise<void>;
  openShare(params: ShareOpening): Promise<ShareAnnouncement>;
  addRemoteShare(params: {
    readonly address: SocketAddress;
    readonly announcement: ShareAnnouncement;
    readonly reactorId: number;
  }): Promise<void>;
  removeRemoteShare(params: {
    readonly address: SocketAddress;
    readonly announcement: ShareAnnouncement;
  }): Promise<void>;
  /** The pipe is about to be closed, its share first: its stages hold nothing back any more. */
  hurryPipe(params: { readonly pipeId: number }): Promise<void>;
  /** Also undoes a half-opened pipe; a pipe that this reactor has no part of is closed already. */
  closePipe(params: { readonly pipeId: number }): Promise<void>;
  insertStage(params: { readonly pipeId: number } & Insertion): Promise<PipeTree>;
  removeStage(params: { readonly pipeId: number } & Removal): Promise<PipeTree>;
  changeStage(params: { readonly pipeId: number } & Change): Promise<PipeTree>;
  /** @returns what the share, on the same reactor, is announced as from now on */
  resizePipe(params: {
    readonly pipeId: number;
    readonly sizeBytes: number;
  }): Promise<{ readonly tree: PipeTree; readonly announcement: ShareAnnouncement }>;
  describePipe(params: { readonly pipeId: number }): Promise<PipeTree>;
  /** Empty when the share is not open. */
  describeShare(params: { readonly pipeId: number }): Promise<DeviceDetails>;
  /** `pipes` has one of them, or all. */
  stats(params: { readonly pipeId: number } | null): Promise<ReactorStats>;
  /** Closes everything; the thread ends by itself afterwards. Last call. */
  stop(params: null): Promise<void>;
}

/** What a reactor tells the main thread. */
export type ReactorNote =
  | { readonly kind: "hand-off"; readonly toReactor: number; readonly message: ShareHandOff }
  | { readonly kind: "event"; readonly pipeId: number; readonly event: PipeEvent }
  | { readonly kind: "pool-event"; readonly event: PoolEvent }
  /** A bug: the process has to end. */
  | { readonly kind: "fatal"; readonly stack: string };

/** What the main thread tells a reactor. */
export interface MainNote {
  readonly kind: "adopt";
  readonly message: ShareHandOff;
}
