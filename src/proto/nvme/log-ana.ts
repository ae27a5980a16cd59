/**
 * Asymmetric namespace access (LID 0Ch): which groups of namespaces this controller reaches, how.
 *
 *   offset  of the header                    offset  of each group
 *        0  u64 change count                      0  u32 group identifier
 *        8  u16 groups                            4  u32 NSIDs that follow
 *       10  reserved                              8  u64 change count
 *       16  groups                               16  u8  state (bits 0-3)
 *                                                17  reserved
 *                                                32  u32 NSIDs
 *
 * Stateless; off the hot path.
 *
 * spec: Base 2.0 5.16.1.13, figures 220, 221
 */

import { getUint64, setUint64, viewOf } from "./wire.ts";

const HEADER_BYTES = 16;
const GROUP_BYTES = 32;

export interface AnaGroup {
  /** ANAGRPID, from 1. */
  readonly id: number;
  /** Of the last change of this group; 0: not reported. */
  readonly changeCount: number;
  /** `AnaState`, known or not. */
  readonly state: number;
  /** Ascending; empty when the host asked for groups only. */
  readonly nsids: readonly number[];
}

export interface AnaLog {
  /** Grows with every change; a host that sees it change while it reads starts again. */
  readonly changeCount: number;
  /** Ascending by identifier. */
  readonly groups: readonly AnaGroup[];
}

/** @param groupsOnly RGO (LSP bit 0): the lists of NSIDs are left out */
export function encodeAnaLog(log: AnaLog, groupsOnly: boolean): Uint8Array {
  let lengthBytes = HEADER_BYTES;
  for (const { nsids } of log.groups) {
    lengthBytes += GROUP_BYTES + (groupsOnly ? 0 : 4 * nsids.length);
  }
  const bytes = new Uint8Array(lengthBytes);
  const view = viewOf(bytes);
  setUint64(view, 0, log.changeCount);
  view.setUint16(8, log.groups.length, true);
  let at = HEADER_BYTES;
  for (const { id, changeCount, state, nsids } of log.groups) {
    const listed = groupsOnly ? [] : nsids;
    view.setUint32(at, id, true);
    view.setUint32(at + 4, listed.length, true);
    setUint64(view, at + 8, changeCount);
    view.setUint8(at + 16, state & 15);
    at += GROUP_BYTES;
    for (const nsid of listed) {
      view.setUint32(at, nsid, true);
      at += 4;
    }
  }
  return bytes;
}

/** Null when the groups, or their NSIDs, go beyond the bytes. */
export function decodeAnaLog(bytes: Uint8Array): AnaLog | null {
  if (bytes.length < HEADER_BYTES) return null;
  const view = viewOf(bytes);
  const groups: AnaGroup[] = [];
  let at = HEADER_BYTES;
  for (let left = view.getUint16(8, true); left > 0; left--) {
    if (at + GROUP_BYTES > bytes.length) return null;
    const count = view.getUint32(at + 4, true);
    const first = at + GROUP_BYTES;
    if (first + 4 * count > bytes.length) return null;
    groups.push({
      id: view.getUint32(at, true),
      changeCount: getUint64(view, at + 8),
      state: view.getUint8(at + 16) & 15,
      nsids: Array.from({ length: count }, (_, index) => view.getUint32(first + 4 * index, true)),
    });
    at = first + 4 * count;
  }
  return { changeCount: getUint64(view, 0), groups };
}
