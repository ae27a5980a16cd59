/**
 * Penstock's own admin commands, from the vendor specific range C0h to FFh.
 *
 *   C2h  penstockInstance  controller to host, 64 bytes, by NSID
 *   C4h  penstockClaim     no data, by NSID; CDW12 bit 0: 1 claims the namespace, 0 releases it
 *   C5h  penstockEpoch     host to controller; reserved: answered "invalid opcode" for now
 *
 *   offset  of the instance's data          little-endian
 *        0  8 B "PENSTOCK"
 *        8  u16 version, 1                   later ones add fields behind these
 *       10  reserved
 *       16  16 B instance identifier         a UUID: another one when volatile data may be gone
 *       32  u64 epoch                        0: not fenced by epochs
 *       40  reserved
 *
 * A host asks only controllers whose model says Penstock. Stateless.
 */

import { beginAdmin } from "./admin-commands.ts";
import type { Sqe } from "./sqe.ts";
import { getUint64, getUuid, setUint64, setUuid, viewOf } from "./wire.ts";

export const VendorOpcode = {
  penstockInstance: 0xc2,
  penstockClaim: 0xc4,
  penstockEpoch: 0xc5,
} as const;

/** MN of our controllers begins with this. */
export const PENSTOCK_MODEL = "Penstock";
export const INSTANCE_BYTES = 64;
const VERSION = 1;
const CLAIM = 1;
const MAGIC = "PENSTOCK";

export interface InstanceData {
  /** UUID text. */
  readonly instanceId: string;
  readonly epoch: number;
}

/** Fills `sqe` but for its cid. */
export function encodeInstanceCommand(nsid: number, sqe: Sqe): void {
  beginAdmin(VendorOpcode.penstockInstance, nsid, INSTANCE_BYTES, sqe);
  // NDT: dwords to transfer, as vendor specific commands have it. spec: Base 2.0 figure 88
  sqe.cdw10 = INSTANCE_BYTES / 4;
}

/** Fills `sqe` but for its cid. @param isClaim false: gives it back */
export function encodeClaimCommand(nsid: number, isClaim: boolean, sqe: Sqe): void {
  beginAdmin(VendorOpcode.penstockClaim, nsid, 0, sqe);
  // CDW10 and 11 are NDT and NDM. spec: Base 2.0 figure 88
  sqe.cdw12 = isClaim ? CLAIM : 0;
}

/** It claims; else it releases. */
export function isClaiming(sqe: Sqe): boolean {
  return (sqe.cdw12 & CLAIM) !== 0;
}

export function encodeInstanceData(data: InstanceData): Uint8Array {
  const bytes = new Uint8Array(INSTANCE_BYTES);
  for (let index = 0; index < MAGIC.length; index++) bytes[index] = MAGIC.charCodeAt(index);
  const view = viewOf(bytes);
  view.setUint16(8, VERSION, true);
  setUuid(bytes, 16, data.instanceId);
  setUint64(view, 32, data.epoch);
  return bytes;
}

/** Null when it is not ours: too short, another magic, version 0. */
export function decodeInstanceData(bytes: Uint8Array): InstanceData | null {
  if (bytes.length < INSTANCE_BYTES) return null;
  for (let index = 0; index < MAGIC.length; index++) {
    if (bytes[index] !== MAGIC.charCodeAt(index)) return null;
  }
  const view = viewOf(bytes);
  if (view.getUint16(8, true) < VERSION) return null;
  return { instanceId: getUuid(bytes, 16), epoch: getUint64(view, 32) };
}
