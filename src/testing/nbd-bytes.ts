/**
 * Builds the client's half of NBD as bytes, right or wrong: tests send what no client would.
 *
 * Stateless. spec: NBD proto.md; extended headers: branch extension-ext-header
 */

import {
  EXTENDED_REQUEST_MAGIC,
  OPTION_MAGIC_HIGH,
  OPTION_MAGIC_LOW,
  REQUEST_MAGIC,
} from "../proto/nbd/constants.ts";

/** High word of every cookie, so that a server that cuts cookies to 32 bits is found. */
export const COOKIE_HIGH = 0xfeed_c0de;

export function clientFlags(flags: number): Buffer {
  return uint32(flags);
}

export function option(type: number, data: Uint8Array = new Uint8Array(0)): Buffer {
  return Buffer.concat([
    uint32(OPTION_MAGIC_HIGH),
    uint32(OPTION_MAGIC_LOW),
    uint32(type),
    uint32(data.length),
    data,
  ]);
}

/** Data of GO and INFO. */
export function goData(name: string, informationTypes: readonly number[] = []): Buffer {
  const bytes = Buffer.from(name);
  return Buffer.concat([
    uint32(bytes.length),
    bytes,
    uint16(informationTypes.length),
    ...informationTypes.map(uint16),
  ]);
}

/** Data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export function metaContextData(name: string, queries: readonly string[]): Buffer {
  const bytes = Buffer.from(name);
  const parts = queries.flatMap((query) => {
    const text = Buffer.from(query);
    return [uint32(text.length), text];
  });
  return Buffer.concat([uint32(bytes.length), bytes, uint32(queries.length), ...parts]);
}

export interface RequestFields {
  readonly command: number;
  /** Low word of the cookie. */
  readonly cookie: number;
  readonly flags?: number;
  readonly offset?: number | bigint;
  readonly length?: number | bigint;
  /** Default: the right one. */
  readonly magic?: number;
}

/** A request header of 28 bytes, or of 32 with extended headers. */
export function request(fields: RequestFields, extended = false): Buffer {
  const bytes = Buffer.alloc(extended ? 32 : 28);
  const magic = fields.magic ?? (extended ? EXTENDED_REQUEST_MAGIC : REQUEST_MAGIC);
  bytes.writeUInt32BE(magic, 0);
  bytes.writeUInt16BE(fields.flags ?? 0, 4);
  bytes.writeUInt16BE(fields.command, 6);
  bytes.writeUInt32BE(COOKIE_HIGH, 8);
  bytes.writeUInt32BE(fields.cookie, 12);
  bytes.writeBigUInt64BE(BigInt(fields.offset ?? 0), 16);
  if (extended) {
    bytes.writeBigUInt64BE(BigInt(fields.length ?? 0), 24);
  } else {
    bytes.writeUInt32BE(Number(fields.length ?? 0), 24);
  }
  return bytes;
}

export function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
