/**
 * The small log pages: supported pages, firmware slots, changed namespaces, command and feature
 * effects. The larger ones have files of their own (`log-*.ts`).
 *
 * Stateless; off the hot path. A page is made whole; the controller cuts out what is asked for.
 *
 * spec: Base 2.0 5.16.1
 */

import { encodeNamespaceList, NAMESPACE_LIST_MAX } from "./identify-lists.ts";
import { setPadded, viewOf } from "./wire.ts";

/** LID 00h: which log pages there are. Bit 0 of each of 256 dwords. spec: 5.16.1.1 */
export function encodeSupportedLogPages(logPages: Iterable<number>): Uint8Array {
  const bytes = new Uint8Array(1024);
  const view = viewOf(bytes);
  for (const id of logPages) view.setUint32(4 * id, 1, true);
  return bytes;
}

/** LID 03h: one slot, active, with its revision of up to 8 characters. spec: 5.16.1.4 */
export function encodeFirmwareSlot(revision: string): Uint8Array {
  const bytes = new Uint8Array(512);
  bytes[0] = 1;
  setPadded(bytes, 8, 8, revision);
  return bytes;
}

/** The first entry of a changed namespace list that could not hold all. */
export const CHANGED_NAMESPACES_OVERFLOW = 0xffff_ffff;

/**
 * LID 04h: NSIDs changed since it was read, ascending; more than 1,024 become a single entry that
 * means any. Decoded by `decodeNamespaceList`. spec: 5.16.1.5
 */
export function encodeChangedNamespaces(nsids: readonly number[]): Uint8Array {
  const tooMany = nsids.length > NAMESPACE_LIST_MAX;
  return encodeNamespaceList(tooMany ? [CHANGED_NAMESPACES_OVERFLOW] : nsids);
}

/** Bits of a command's effects. spec: Base 2.0 figure 211 */
export const CommandEffect = {
  supported: 1 << 0,
  /** LBCC: content of blocks may change. */
  contentChange: 1 << 1,
  /** NCC: a namespace's capabilities may change. */
  namespaceCapabilityChange: 1 << 2,
  /** NIC: the number of namespaces may change. */
  namespaceInventoryChange: 1 << 3,
  /** CCC: the controller's capabilities may change. */
  controllerCapabilityChange: 1 << 4,
} as const;

/** LID 05h: `CommandEffect` bits by opcode. spec: 5.16.1.6 */
export function encodeCommandEffects(
  admin: ReadonlyMap<number, number>,
  io: ReadonlyMap<number, number>,
): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = viewOf(bytes);
  for (const [opcode, effects] of admin) view.setUint32(4 * opcode, effects, true);
  for (const [opcode, effects] of io) view.setUint32(1024 + 4 * opcode, effects, true);
  return bytes;
}

/** Bits of a feature's effects. spec: Base 2.0 figure 257 */
export const FeatureEffect = {
  supported: 1 << 0,
  /** UDCC: user data may change. */
  userDataChange: 1 << 1,
  controllerCapabilityChange: 1 << 4,
  /** FSP, bits 20-31: what a feature belongs to. */
  scopeNamespace: 1 << 20,
  scopeController: 1 << 21,
} as const;

/** LID 12h: `FeatureEffect` bits by feature identifier. spec: 5.16.1.19 */
export function encodeFeatureEffects(features: ReadonlyMap<number, number>): Uint8Array {
  const bytes = new Uint8Array(1024);
  const view = viewOf(bytes);
  for (const [id, effects] of features) view.setUint32(4 * id, effects, true);
  return bytes;
}
