/**
 * What an NVMe-oF device is opened with, what of that is the default, and what listings show of it.
 * Plain values.
 */

import type { Status } from "../../block/status.ts";
import { nqnOfUuid } from "../../proto/nvme/nqn.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { outageTerms, type RemoteOptions } from "../remote/outage-terms.ts";
import type { LinkState, PathSetParts } from "./path-set.ts";

const QUEUES = 4;
const QUEUE_DEPTH = 128;
export const KEEP_ALIVE_MS = 5000;

export interface NvmfOptions extends RemoteOptions {
  /** One controller each, of the same subsystem; at least one. */
  readonly addresses: readonly SocketAddress[];
  readonly subsystemNqn: string;
  /** Default: the first namespace. */
  readonly nsid?: number;
  /** UUID that controllers know the host by; default: `openingId`. */
  readonly hostId?: string;
  /** Default: made from the host id. */
  readonly hostNqn?: string;
  /** I/O queues to each controller, 1 to 64; default 4. */
  readonly queues?: number;
  /** Commands on each queue at a time, 1 to 255; default 128. */
  readonly queueDepth?: number;
  readonly headerDigest?: boolean;
  readonly dataDigest?: boolean;
  /** Keeps other hosts from claiming the namespace, on targets of ours; default: it does not. */
  readonly claims?: boolean;
  /** A controller may give the host up that it has not heard of for this long; default 5 s. */
  readonly keepAliveMs?: number;
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

/** The options as its paths need them, with what is the default. */
export function pathSetParts(reactor: Reactor, options: NvmfOptions): PathSetParts {
  const hostId = options.hostId ?? options.openingId;
  return {
    reactor,
    addresses: options.addresses,
    subsystemNqn: options.subsystemNqn,
    hostNqn: options.hostNqn ?? nqnOfUuid(hostId),
    hostId,
    nsid: options.nsid ?? null,
    claims: options.claims === true,
    queues: options.queues ?? QUEUES,
    queueEntries: (options.queueDepth ?? QUEUE_DEPTH) + 1,
    headerDigest: options.headerDigest === true,
    dataDigest: options.dataDigest === true,
    keepAliveMs: options.keepAliveMs ?? KEEP_ALIVE_MS,
    ...outageTerms(options),
  };
}
