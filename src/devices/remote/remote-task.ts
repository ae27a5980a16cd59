/**
 * RemoteTask: what a device whose data is elsewhere keeps of one request: which step of it is done,
 * and what has to be done again when the connection is lost. Each protocol's task is its command,
 * too, and pooled; the fields are a `RemoteDevice`'s.
 */

import type { Request } from "../../block/request.ts";
import type { SegmentList } from "../../block/segments.ts";
import type { Status } from "../../block/status.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import type { LossLedger } from "./loss-ledger.ts";

export interface RemoteTask {
  request: Request | null;
  /** Bytes of the request that earlier commands have done. */
  done: number;
  /** Order of arrival: tasks are sent again in it. */
  sequence: number;
  /** When its command was issued, in ticks of the device. */
  issuedTick: number;
  /** Of a flush: the changes that it is to cover, behind `base` up to `cover` (`LossLedger`). */
  base: number;
  cover: number;
  /** Place among the device's active tasks. */
  activeIndex: number;
  /** Memory that the request does not bring: what a compare reads into. */
  bounce: PoolBuffer | null;
  readonly bounceSegments: SegmentList;
  awaitsBounce: boolean;
  isSettled: boolean;
  outcome: Status;
  begin(request: Request, sequence: number, ledger: LossLedger): void;
  /** The connection is lost: what has to be done again. */
  restart(): void;
}
