/**
 * What a reactor needs of a protocol to share devices over it, whatever the protocol is.
 *
 * A service has the listeners and the shares of one reactor. A listener may be asked for a share
 * of another reactor: it has been told where that is (`addRemote`), and hands the connection over.
 */

import type { Device, DeviceDetails } from "../../block/device.ts";
import type { OperationLatency } from "../../block/operation-latency.ts";
import type { ExportDescription } from "../../proto/nbd/export-description.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import type { ConnectionCounts } from "../../shares/listening-port.ts";
import type { NbdHandOff } from "../../shares/nbd-listener.ts";
import type { NvmfHandOff } from "../../shares/nvmf-service.ts";
import type { SubsystemNotice } from "../../shares/nvmf-listener.ts";
import type { OpenedShare } from "../composer.ts";
import type { SharePlan } from "../share-plan.ts";
import type { PipeEvent } from "../stage-plan.ts";

/** What a share's clients have done so far. */
export interface ShareCounts {
  readonly reads: number;
  readonly writes: number;
  readonly others: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  /** From reading a command to sending its reply, summed over all commands. */
  readonly latencyMsSum: number;
  readonly errors: number;
  /** Open now. */
  readonly connections: number;
}

/** What a listener on another reactor is told of a share. Plain values. */
export type ShareAnnouncement =
  | { readonly kind: "nbd"; readonly description: ExportDescription }
  | { readonly kind: "nvmf"; readonly notice: SubsystemNotice };

/** A connection on its way to its share's reactor. Plain values. */
export type ShareHandOff =
  | { readonly kind: "nbd"; readonly message: NbdHandOff }
  | { readonly kind: "nvmf"; readonly message: NvmfHandOff };

/** What a share knows of the pipe that it is the end of. */
export interface ShareContext {
  /** Other processes may write the source of its device. */
  readonly isDeviceShared: boolean;
  /** See `PipeOpenOptions`. */
  readonly reservationsPath?: string;
  /** What people should know of. Never blocks. Absent: nobody listens. */
  report?(event: Omit<PipeEvent, "stage">): void;
}

/** A device that is shared. */
export interface LiveShare extends OpenedShare {
  /** Another one after `resized`. */
  readonly announcement: ShareAnnouncement;
  readonly counts: ShareCounts;
  readonly latency: OperationLatency;
  /** Its device has another size: tells clients, where the protocol can. */
  resized(): void;
  /** For listings, of this moment. */
  describe(): DeviceDetails;
}

/** Plans, announcements and hand-offs that it is given are of its own kind. */
export interface ShareService {
  readonly connectionCounts: Readonly<ConnectionCounts>;
  /** Those that still negotiate too. */
  readonly openConnections: number;
  /** Listens, unless it already does. @returns the real address (port 0 replaced) */
  listen(address: SocketAddress): Promise<SocketAddress>;
  /** Connections stay. */
  unlisten(address: SocketAddress): Promise<void>;
  /** @throws PenstockError `export-exists`, `namespace-exists`, `subsystem-differs` */
  open(
    address: SocketAddress,
    device: Device,
    plan: SharePlan,
    context: ShareContext,
  ): Promise<LiveShare>;
  addRemote(address: SocketAddress, announcement: ShareAnnouncement, reactorId: number): void;
  removeRemote(address: SocketAddress, announcement: ShareAnnouncement): void;
  adopt(handOff: ShareHandOff): void;
  /** Ends everything. Idempotent. */
  close(): Promise<void>;
}
