/**
 * NvmeNamespace: a device as a namespace of a subsystem: its identity, its ANA state, its
 * reservations. It owns none of the device's state; whoever resizes the device says so.
 *
 * Each namespace is an ANA group of its own, with its NSID as identifier, so that each has its
 * own state on a path, and two engines that serve one subsystem agree on the groups.
 */

import type { Device } from "../../block/device.ts";
import { assert } from "../../util/assert.ts";
import { AnaState } from "./constants.ts";
import { IoCounters } from "./io-counters.ts";
import { NvmeReservations } from "./reservations.ts";
import { NvmeStatus } from "./status.ts";
import type { Access, NamespaceFace } from "./transport.ts";

/** NN: the largest NSID, and how many namespaces and ANA groups there may be. */
export const NAMESPACES_MAX = 1024;

export interface NamespaceOptions {
  /** 1 to `NAMESPACES_MAX`. */
  readonly nsid: number;
  readonly device: Device;
  /** What hosts know it by, over engines and restarts. */
  readonly uuid: string;
  /** 16 bytes as a UUID's text; default: the UUID. */
  readonly nguid?: string;
  readonly readOnly?: boolean;
  readonly anaState?: AnaState;
  /**
   * Default: reservations that end with the process. Null: none can be made, as where other
   * engines serve the same device and would not know of them.
   */
  readonly reservations?: NvmeReservations | null;
}

/** As an association knows its host. */
export interface Claimant {
  readonly hostNqn: string;
  readonly hostId: string;
}

export class NvmeNamespace implements NamespaceFace {
  readonly nsid: number;
  readonly device: Device;
  readonly uuid: string;
  readonly nguid: string;
  readonly readOnly: boolean;
  readonly blockShift: number;
  readonly reservations: NvmeReservations | null;
  readonly counters: IoCounters = new IoCounters();
  blocks: number;
  pathStatus = 0;
  #anaState: AnaState;
  #claimant: Claimant | null = null;

  constructor(options: NamespaceOptions) {
    const { nsid, device, uuid } = options;
    assert(nsid >= 1 && nsid <= NAMESPACES_MAX, "an NSID within its limits");
    this.nsid = nsid;
    this.device = device;
    this.uuid = uuid;
    this.nguid = options.nguid ?? uuid;
    this.readOnly = device.info.readOnly || options.readOnly === true;
    this.blockShift = device.info.blockSizeBytes === 4096 ? 12 : 9;
    this.reservations =
      options.reservations === undefined ? new NvmeReservations() : options.reservations;
    this.blocks = this.#deviceBlocks();
    this.#anaState = options.anaState ?? AnaState.optimized;
    this.pathStatus = pathStatusOf(this.#anaState);
  }

  /** Its ANA group. */
  get anaGroup(): number {
    return this.nsid;
  }

  get anaState(): AnaState {
    return this.#anaState;
  }

  get isReserved(): boolean {
    return this.reservations?.isReserved === true;
  }

  refuses(hostIndex: number, access: Access): boolean {
    return this.reservations?.refuses(hostIndex, access) === true;
  }

  /** By its subsystem, which tells hosts. Commands that have begun go on. */
  setAnaState(state: AnaState): void {
    this.#anaState = state;
    this.pathStatus = pathStatusOf(state);
  }

  /**
   * Until it releases it or its last controller has gone (its subsystem sees to that). Keeps nobody
   * from reading or writing: only from claiming.
   * @returns false: another host has it
   */
  claim({ hostNqn, hostId }: Claimant): boolean {
    if (this.#claimant !== null && !this.isClaimedBy({ hostNqn, hostId })) return false;
    this.#claimant = { hostNqn, hostId };
    return true;
  }

  isClaimedBy({ hostNqn, hostId }: Claimant): boolean {
    return this.#claimant?.hostNqn === hostNqn && this.#claimant.hostId === hostId;
  }

  /** If the host has it. */
  release(host: Claimant): void {
    if (this.isClaimedBy(host)) this.#claimant = null;
  }

  /** By its subsystem. @returns true: the device has another size than before */
  noteSize(): boolean {
    const before = this.blocks;
    this.blocks = this.#deviceBlocks();
    return this.blocks !== before;
  }

  #deviceBlocks(): number {
    return this.device.info.sizeBytes / 2 ** this.blockShift;
  }
}

/** What I/O commands get in that state; 0: they are done. spec: NVMe Base 2.0 8.1.3 */
function pathStatusOf(state: AnaState): number {
  switch (state) {
    case AnaState.optimized:
    case AnaState.nonOptimized:
      return NvmeStatus.success;
    case AnaState.inaccessible:
      return NvmeStatus.anaInaccessible;
    case AnaState.persistentLoss:
      return NvmeStatus.anaPersistentLoss;
    case AnaState.change:
      return NvmeStatus.anaTransition;
  }
}
