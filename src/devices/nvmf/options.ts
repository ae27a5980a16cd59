/** What an NVMe-oF device is opened with, and what listings show of it. Plain values. */

import type { Status } from "../../block/status.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import type { LinkState } from "./path-set.ts";

export interface NvmfOptions {
  /** One controller each, of the same subsystem; at least one. */
  readonly addresses: readonly SocketAddress[];
  readonly subsystemNqn: string;
  /** Default: the first namespace. */
  readonly nsid?: number;
  /** The stage, canonical: "nvmf://127.0.0.1:4420/nqn...". */
  readonly name: string;
  /** UUID that no opening before had. */
  readonly openingId: string;
  /** UUID that controllers know the host by; default: `openingId`. */
  readonly hostId?: string;
  /** Default: made from the host id. */
  readonly hostNqn?: string;
  readonly readOnly?: boolean;
  /** I/O queues to each controller, 1 to 64; default 4. */
  readonly queues?: number;
  /** Commands on each queue at a time, 1 to 255; default 128. */
  readonly queueDepth?: number;
  readonly headerDigest?: boolean;
  readonly dataDigest?: boolean;
  /** A controller may give the host up that it has not heard of for this long; default 5 s. */
  readonly keepAliveMs?: number;
  /** Under a nexus: requests fail soon instead of riding out an outage, and it stays lost. */
  readonly failFast?: boolean;
  /** A command unanswered for this long ends the connections; default 30 s, fail-fast 5 s. */
  readonly timeoutMs?: number;
  readonly connectTimeoutMs?: number;
  /** How long an outage may last before requests fail; default 60 s, fail-fast 0. */
  readonly rideOutMs?: number;
}

/** What became of a device, for listings. */
export interface NvmfCondition {
  readonly link: LinkState;
  /** I/O queues that are connected, over all paths. */
  readonly connections: number;
  /** Set for good: the device has to be opened again. */
  readonly fault: Status;
  readonly reason: string;
  /** What the namespace has by now; more than `info` says once it has grown. */
  readonly sizeBytes: number;
  readonly paths: readonly PathCondition[];
}

export interface PathCondition {
  readonly address: string;
  readonly isUp: boolean;
  readonly isUsed: boolean;
  /** `AnaState`. */
  readonly anaState: number;
  readonly reason: string;
}
