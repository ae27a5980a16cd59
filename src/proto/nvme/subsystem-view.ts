/** What a controller needs to know of the subsystem that it belongs to. */

import type { Clock } from "../../reactor/clock.ts";
import type { NvmeNamespace } from "./namespace.ts";
import type { ReservationReport } from "./reservation-data.ts";
import type { ResolvedOptions } from "./subsystem-options.ts";

export interface SubsystemView {
  readonly clock: Clock;
  readonly options: ResolvedOptions;
  /** On the clock: when it was made. */
  readonly startedMs: number;
  /** Counts changes of ANA states and of namespaces, from 1. */
  readonly anaChangeCount: number;
  /** Hot path. */
  namespaceOf(nsid: number): NvmeNamespace | null;
  /** Ascending. */
  nsids(): readonly number[];
  /** Of all controllers, ascending. */
  cntlids(): readonly number[];
  /** `anaChangeCount` when the namespace's group changed last. */
  anaGroupChangeCount(nsid: number): number;
  /** By controller, as hosts see it. */
  reportReservations(namespace: NvmeNamespace): ReservationReport;
}
