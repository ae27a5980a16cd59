/**
 * TargetSession: what ICReq and ICResp have settled for a connection. Plain values, so that a
 * connection can go on in another reactor.
 *
 * spec: NVMe/TCP 1.0 3.1 "Transport initialization"
 */

export interface TargetSession {
  /** ICReq has been answered. */
  isInitialized: boolean;
  headerDigest: boolean;
  dataDigest: boolean;
  /** C2HData begins at a multiple of this, in bytes: 4 to 128. */
  alignmentBytes: number;
}

export function newSession(): TargetSession {
  return { isInitialized: false, headerDigest: false, dataDigest: false, alignmentBytes: 4 };
}

/** MAXH2CDATA: bytes of data that a host may send in one PDU. */
export const MAX_H2C_DATA_BYTES = 1024 * 1024;
/** Capsules of admin queues, and those before a queue is connected, carry at most this. */
export const ADMIN_CAPSULE_DATA_BYTES = 8192;
