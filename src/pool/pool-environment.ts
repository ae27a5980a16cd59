/** PoolEnvironment: what a pool gets from outside: reactor, randomness, time, an ear for events. */

import type { Reactor } from "../reactor/reactor.ts";
import type { ErrorDetails } from "../util/errors.ts";

export interface PoolEnvironment {
  readonly reactor: Reactor;
  /** Random ones: of disks, sessions (its first eight bytes) and volumes. */
  makeUuid(): string;
  /** Milliseconds since 1970, for people to read. */
  nowMs(): number;
  /** Never blocks; may be called in a turn. */
  onEvent(event: PoolEvent): void;
  /** For the label: who has the pool open. */
  readonly holder: string;
  /** For the label: of the engine's data directory. */
  readonly engineUuid: string;
}

export type PoolEventCode =
  | "pool-faulted"
  | "pool-space-warning"
  | "pool-space-critical"
  | "pool-space-ok"
  | "pool-damage-found"
  | "pool-copy-repaired"
  | "pool-tail-dropped"
  | "pool-flush-failed"
  | "pool-log-lost"
  | "pool-map-rebuilt"
  | "pool-medium-full"
  | "scrub-finished";

export interface PoolEvent {
  readonly level: "info" | "warning" | "error";
  readonly code: PoolEventCode;
  readonly message: string;
  /** Its name. */
  readonly pool: string;
  readonly volume?: string;
  readonly details?: ErrorDetails;
}
