/**
 * What the last stage of a pipe asks for, a kind for each protocol, and what all kinds have in
 * common: an address, a name on it, a URI for clients. Plain values and pure functions.
 */

import { formatSocketAddress } from "../reactor/io-errors.ts";
import type { SocketAddress } from "../reactor/io.ts";
import { PenstockError } from "../util/errors.ts";

/** An NBD export. `address` may have port 0; several exports may be on one address. */
export interface NbdSharePlan {
  readonly kind: "nbd";
  readonly address: SocketAddress;
  readonly exportName: string;
  readonly description: string;
  readonly readOnly: boolean;
  readonly maxConnections: number | undefined;
}

/** spec: NVMe Base 2.0 Figure 280 "Identify Controller", ANA states of a group */
export const ANA_STATES = ["optimized", "nonoptimized", "inaccessible"] as const;
export type AnaStateName = (typeof ANA_STATES)[number];

/** Controller ids of a subsystem, both inclusive. */
export interface ControllerIdRange {
  readonly min: number;
  readonly max: number;
}

/**
 * What several namespaces of one NQN have in common: whoever opens it first decides, the others
 * say the same or nothing (undefined).
 */
export interface NvmfSubsystemSettings {
  /** Host NQNs that may connect; undefined: any. */
  readonly hosts: readonly string[] | undefined;
  readonly serial: string | undefined;
  readonly model: string | undefined;
  readonly controllerIds: ControllerIdRange | undefined;
  /** Longest transfer of one command. */
  readonly transferBytesMax: number | undefined;
  /** I/O queues of one controller. */
  readonly queuesMax: number | undefined;
  /** Entries of one queue. */
  readonly queueDepthMax: number | undefined;
  readonly inCapsuleBytes: number | undefined;
  /** Connections at a time. */
  readonly maxConnections: number | undefined;
}

/** A namespace of an NVMe subsystem over TCP. */
export interface NvmfSharePlan {
  readonly kind: "nvmf";
  readonly address: SocketAddress;
  readonly nqn: string;
  readonly nsid: number;
  /** 36 characters; stable over restarts and engines. */
  readonly uuid: string;
  readonly readOnly: boolean;
  /** How hosts reach it through this process. */
  readonly anaState: AnaStateName;
  /** Absolute path of the file that keeps reservations over restarts; undefined: memory only. */
  readonly reservationsPath: string | undefined;
  readonly subsystem: NvmfSubsystemSettings;
}

export type SharePlan = NbdSharePlan | NvmfSharePlan;
export type ShareKind = SharePlan["kind"];

/** Its name among the shares of one address: "vol1", "nqn.2026-11.io.penstock:vol1 nsid 1". */
export function shareName(share: SharePlan): string {
  return share.kind === "nbd" ? share.exportName : `${share.nqn} nsid ${share.nsid}`;
}

/**
 * What no two shares of a process have in common, or null where each gets an address of its own.
 * A namespace is one in all of the process, whatever its addresses are.
 */
export function shareIdentity(share: SharePlan): string | null {
  if (share.kind === "nvmf") return `nvmf ${shareName(share)}`;
  const { address, exportName } = share;
  if (address.kind === "tcp" && address.port === 0) return null;
  return `nbd ${formatSocketAddress(address)} ${exportName}`;
}

/** Shares of one group live on one reactor: an NQN's namespaces. Undefined: anywhere. */
export function shareGroup(share: SharePlan): string | undefined {
  return share.kind === "nvmf" ? share.nqn : undefined;
}

/** There is a share of the same identity. */
export function shareExistsError(share: SharePlan): PenstockError {
  const address = formatSocketAddress(share.address);
  const name = shareName(share);
  const isExport = share.kind === "nbd";
  return new PenstockError({
    code: isExport ? "export-exists" : "namespace-exists",
    message: isExport
      ? `${address} has an export "${name}" already, expected another name`
      : `there is a namespace ${share.nsid} of ${share.nqn} already, expected another nsid`,
    details: { address, name },
  });
}
