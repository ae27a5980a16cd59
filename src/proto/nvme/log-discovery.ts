/**
 * The discovery log page (LID 70h): a header of 1,024 bytes and entries of as many.
 *
 *   offset  of the header                    offset  of an entry
 *        0  u64 generation                        0  u8  TRTYPE, u8 ADRFAM, u8 SUBTYPE, u8 TREQ
 *        8  u64 records                           4  u16 PORTID, u16 CNTLID, u16 ASQSZ, u16 EFLAGS
 *       16  u16 record format, 0                 32  32 B TRSVCID, ASCII
 *                                               256  256 B SUBNQN, NUL-terminated
 *                                               512  256 B TRADDR, ASCII
 *                                               768  u8 SECTYPE (TCP), the rest of TSAS reserved
 *
 * Stateless; off the hot path.
 *
 * spec: Base 2.0 5.16.1.23, figures 264, 265; NVMe/TCP 3.4
 */

import { CNTLID_DYNAMIC } from "./constants.ts";
import {
  getPadded,
  getTerminated,
  getUint64,
  setPadded,
  setTerminated,
  setUint64,
  viewOf,
} from "./wire.ts";

export const DISCOVERY_HEADER_BYTES = 1024;
export const DISCOVERY_ENTRY_BYTES = 1024;

/** TRTYPE. */
export const TransportType = { rdma: 1, fibreChannel: 2, tcp: 3, loop: 254 } as const;
/** ADRFAM. */
export const AddressFamily = { ipv4: 1, ipv6: 2, infiniband: 3, fibreChannel: 4 } as const;
/** SUBTYPE. */
export const SubsystemType = {
  /** Another discovery service. */
  referral: 1,
  /** A subsystem with namespaces. */
  nvm: 2,
  /** The discovery subsystem that answers. */
  current: 3,
} as const;
/** TREQ: bits 0-1 secure channel, bit 2 SQ flow control may be disabled. */
export const TransportRequirement = {
  secureUnspecified: 0,
  secureRequired: 1,
  secureNotRequired: 2,
  flowControlOptional: 4,
} as const;
/** SECTYPE of TCP. */
export const SecurityType = { none: 0, tls12: 1, tls13: 2 } as const;
/** ASQSZ is at least this. */
export const ADMIN_QUEUE_ENTRIES_MIN = 32;

export interface DiscoveryEntry {
  readonly transportType: number;
  readonly addressFamily: number;
  readonly subsystemType: number;
  /** `TransportRequirement` bits. */
  readonly requirement: number;
  readonly portId: number;
  /** 0xFFFF: the dynamic model. */
  readonly cntlid: number;
  /** Largest admin queue, entries. */
  readonly adminQueueEntriesMax: number;
  /** EFLAGS: bit 0 another entry leads to the same, bit 1 (discovery) connections may stay. */
  readonly flags: number;
  /** TRSVCID: the port, decimal digits. */
  readonly serviceId: string;
  readonly subsystemNqn: string;
  /** TRADDR: "192.0.2.1" or "2001:db8::1". */
  readonly address: string;
  /** `SecurityType`. */
  readonly securityType: number;
}

export interface DiscoveryLog {
  /** GENCTR: changes with the entries. */
  readonly generation: number;
  readonly entries: readonly DiscoveryEntry[];
}

/** What the header alone says, for a host that reads the page in pieces. */
export interface DiscoveryHeader {
  readonly generation: number;
  /** NUMREC. */
  readonly records: number;
  /** RECFMT: 0, or entries cannot be read. */
  readonly recordFormat: number;
}

/** An entry of a dynamic controller over TCP, without TLS, to be completed. */
export const TCP_ENTRY = {
  transportType: TransportType.tcp,
  requirement: TransportRequirement.flowControlOptional,
  cntlid: CNTLID_DYNAMIC,
  adminQueueEntriesMax: ADMIN_QUEUE_ENTRIES_MIN,
  flags: 0,
  securityType: SecurityType.none,
} as const;

export function encodeDiscoveryLog(log: DiscoveryLog): Uint8Array {
  const bytes = new Uint8Array(DISCOVERY_HEADER_BYTES + DISCOVERY_ENTRY_BYTES * log.entries.length);
  const view = viewOf(bytes);
  setUint64(view, 0, log.generation);
  setUint64(view, 8, log.entries.length);
  let at = DISCOVERY_HEADER_BYTES;
  for (const entry of log.entries) {
    encodeEntry(bytes, view, at, entry);
    at += DISCOVERY_ENTRY_BYTES;
  }
  return bytes;
}

function encodeEntry(bytes: Uint8Array, view: DataView, at: number, entry: DiscoveryEntry): void {
  view.setUint8(at, entry.transportType);
  view.setUint8(at + 1, entry.addressFamily);
  view.setUint8(at + 2, entry.subsystemType);
  view.setUint8(at + 3, entry.requirement);
  view.setUint16(at + 4, entry.portId, true);
  view.setUint16(at + 6, entry.cntlid, true);
  view.setUint16(at + 8, entry.adminQueueEntriesMax, true);
  view.setUint16(at + 10, entry.flags, true);
  setPadded(bytes, at + 32, 32, entry.serviceId);
  setTerminated(bytes, at + 256, 256, entry.subsystemNqn);
  setPadded(bytes, at + 512, 256, entry.address);
  view.setUint8(at + 768, entry.securityType);
}

/** Null when there are fewer than 18 bytes. */
export function decodeDiscoveryHeader(bytes: Uint8Array): DiscoveryHeader | null {
  if (bytes.length < 18) return null;
  const view = viewOf(bytes);
  return {
    generation: getUint64(view, 0),
    records: getUint64(view, 8),
    recordFormat: view.getUint16(16, true),
  };
}

/** The entry at `at`; null when not all of its bytes are there. */
export function decodeDiscoveryEntry(bytes: Uint8Array, at: number): DiscoveryEntry | null {
  if (at < 0 || at + DISCOVERY_ENTRY_BYTES > bytes.length) return null;
  const view = viewOf(bytes);
  return {
    transportType: view.getUint8(at),
    addressFamily: view.getUint8(at + 1),
    subsystemType: view.getUint8(at + 2),
    requirement: view.getUint8(at + 3),
    portId: view.getUint16(at + 4, true),
    cntlid: view.getUint16(at + 6, true),
    adminQueueEntriesMax: view.getUint16(at + 8, true),
    flags: view.getUint16(at + 10, true),
    serviceId: getPadded(bytes, at + 32, 32),
    subsystemNqn: getTerminated(bytes, at + 256, 256),
    address: getPadded(bytes, at + 512, 256),
    securityType: view.getUint8(at + 768),
  };
}
