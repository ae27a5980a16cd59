/**
 * What is kept of a snapshot that is being received: the volume's property `receive`, and the token
 * by which a sender goes on. Pure. Neither is trusted when it is read.
 *
 * spec: docs/internals/send-format.md, Receiving
 */

import { crc32c } from "../../util/crc32c.ts";
import { PenstockError } from "../../util/errors.ts";
import { getU64, getUuid, putU64, putUuid } from "../fixed-record.ts";

/** Of a volume that is being received. */
export const RECEIVE_PROPERTY = "receive";
/** Of a snapshot that was received: its lineage id, 16 bytes. */
export const ORIGIN_PROPERTY = "origin";

const VERSION = 1;
const STATE_BYTES = 48;
const TOKEN_BYTES = 41;
const UUID_BYTES = 16;
const NO_UUID = "00000000-0000-0000-0000-000000000000";
const MADE = 1;
const CURSOR_MAX = 2 ** 32 - 1;

export interface ReceiveToken {
  /** Lineage ids; base "": none. */
  readonly uuid: string;
  readonly baseUuid: string;
  /** What lies before this block is written and flushed. */
  readonly cursor: number;
}

export interface ReceiveState extends ReceiveToken {
  /** Of the snapshot, bytes. */
  readonly sizeBytes: number;
  /** The volume was made for it. */
  readonly isMade: boolean;
}

export function encodeState(state: ReceiveState): Uint8Array {
  const { uuid, baseUuid, cursor, sizeBytes, isMade } = state;
  const view = new DataView(new ArrayBuffer(STATE_BYTES));
  view.setUint8(0, VERSION);
  view.setUint8(1, isMade ? MADE : 0);
  view.setUint32(4, Math.min(cursor, CURSOR_MAX), true);
  putUuid(view, 8, uuid);
  putUuid(view, 24, baseUuid === "" ? NO_UUID : baseUuid);
  putU64(view, 40, sizeBytes);
  return new Uint8Array(view.buffer);
}

/** Null: that is none. */
export function decodeState(bytes: Uint8Array): ReceiveState | null {
  if (bytes.length !== STATE_BYTES || bytes[0] !== VERSION) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const cursor = view.getUint32(4, true);
  const sizeBytes = getU64(view, 40);
  if (!Number.isSafeInteger(sizeBytes)) return null;
  const isMade = view.getUint8(1) === MADE;
  const baseUuid = orNone(getUuid(view, 24));
  return { uuid: getUuid(view, 8), baseUuid, cursor, sizeBytes, isMade };
}

export function encodeToken({ uuid, baseUuid, cursor }: ReceiveToken): string {
  const bytes = new Uint8Array(TOKEN_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  putUuid(view, 1, uuid);
  putUuid(view, 1 + UUID_BYTES, baseUuid === "" ? NO_UUID : baseUuid);
  view.setUint32(33, cursor, true);
  view.setUint32(37, crc32c(bytes, 0, TOKEN_BYTES - 4), true);
  return Buffer.from(bytes).toString("base64url");
}

/** @throws PenstockError `token-invalid` */
export function decodeToken(text: string): ReceiveToken {
  const bytes = Buffer.from(text, "base64url");
  const isWhole = bytes.length === TOKEN_BYTES && bytes.toString("base64url") === text;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isRight =
    isWhole &&
    view.getUint8(0) === VERSION &&
    view.getUint32(37, true) === crc32c(bytes, 0, TOKEN_BYTES - 4);
  if (!isRight) {
    const message = "expected a token as `penstock receive POOL VOLUME --resume-token` prints it";
    throw new PenstockError({ code: "token-invalid", message });
  }
  const baseUuid = orNone(getUuid(view, 1 + UUID_BYTES));
  return { uuid: getUuid(view, 1), baseUuid, cursor: view.getUint32(33, true) };
}

export function encodeOrigin(uuid: string): Uint8Array {
  const view = new DataView(new ArrayBuffer(UUID_BYTES));
  putUuid(view, 0, uuid);
  return new Uint8Array(view.buffer);
}

/** What a snapshot's content is called everywhere: where it was received from, or its own uuid. */
export function lineageOf(uuid: string, properties: ReadonlyMap<string, Uint8Array>): string {
  const origin = properties.get(ORIGIN_PROPERTY);
  if (origin?.length !== UUID_BYTES) return uuid;
  return getUuid(new DataView(origin.buffer, origin.byteOffset, UUID_BYTES), 0);
}

function orNone(uuid: string): string {
  return uuid === NO_UUID ? "" : uuid;
}
