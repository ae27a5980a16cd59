/**
 * What a mirror knows of the health of a child: in sync, or faulted and why. Plain values.
 *
 *   in-sync --a change, a flush or a read failed, or no answer in time--> faulted
 *
 * Nothing leads back in this version: a returning child needs a rebuild first (safety rule 8).
 */

import { OPERATION_NAMES } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { type Status, statusName } from "../block/status.ts";
import type { Clock } from "../reactor/clock.ts";

/** Why and when a child was taken out. JSON. */
export interface ChildFault {
  /** The status's name: "media-error", "timeout", ... */
  readonly kind: string;
  /** A sentence for people. */
  readonly reason: string;
  /** RFC 3339 where the time of day is known, else milliseconds on the reactor's clock: "812ms". */
  readonly time: string;
  /** Of the request that failed: "write", "flush", ... */
  readonly operation: string;
  readonly offset: number;
}

export type ChildState =
  | { readonly name: "in-sync" }
  | { readonly name: "faulted"; readonly fault: ChildFault };

export const IN_SYNC: ChildState = { name: "in-sync" };

/**
 * @param request what the child failed at
 * @param detail added to the reason: "no answer in 5000 ms"
 */
export function faultOf(clock: Clock, status: Status, request: Request, detail = ""): ChildFault {
  const { offset, length } = request;
  const operation = OPERATION_NAMES[request.operation] as string; // a closed union
  const kind = statusName(status);
  const what = length === 0 ? operation : `${operation} of ${length} bytes at ${offset}`;
  const reason = `${what}: ${detail === "" ? kind : detail}`;
  return { kind, reason, time: timeOf(clock), operation, offset };
}

function timeOf(clock: Clock): string {
  const wallMs = clock.wallMs?.();
  if (wallMs !== undefined) return new Date(wallMs).toISOString();
  return `${Math.round(clock.nowMs())}ms`;
}
