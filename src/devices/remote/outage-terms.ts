/**
 * What a remote device is opened with, whatever it speaks: how long it waits, and when it gives up.
 * Plain values.
 */

/** In milliseconds. */
export interface RemoteOptions {
  /** The stage, canonical: "nbd://127.0.0.1:10809/vol1". */
  readonly name: string;
  /** UUID that no opening before had. */
  readonly openingId: string;
  readonly readOnly?: boolean;
  /** Under a nexus: requests fail soon instead of riding out an outage, and it stays lost. */
  readonly failFast?: boolean;
  /** A request unanswered for this long ends its connections; default 30 s, fail-fast 5 s. */
  readonly timeoutMs?: number;
  /** Default 2 s. */
  readonly connectTimeoutMs?: number;
  /** How long an outage may last before requests fail; default 60 s, fail-fast 0. */
  readonly rideOutMs?: number;
}

/** The same, as whoever keeps the connections needs it. */
export interface OutageTerms {
  readonly connectMsMax: number;
  /** How long an outage may last before requests fail; 0: they fail at once. */
  readonly rideOutMs: number;
  /** More time for the first answer, when the server comes back as the ride-out ends. */
  readonly answerMsMax: number;
  /** Goes on looking for the server after requests have failed. */
  readonly recovers: boolean;
}

const TIMEOUT_MS = 30_000;
const TIMEOUT_MS_FAIL_FAST = 5000;
const CONNECT_MS = 2000;
const RIDE_OUT_MS = 60_000;

export function outageTerms(options: RemoteOptions): OutageTerms {
  const failFast = options.failFast === true;
  return {
    connectMsMax: options.connectTimeoutMs ?? CONNECT_MS,
    rideOutMs: options.rideOutMs ?? (failFast ? 0 : RIDE_OUT_MS),
    answerMsMax: options.timeoutMs ?? (failFast ? TIMEOUT_MS_FAIL_FAST : TIMEOUT_MS),
    recovers: !failFast,
  };
}
