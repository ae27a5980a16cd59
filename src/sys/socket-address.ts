/**
 * struct sockaddr, in and out. spec: ip(7), ipv6(7), unix(7)
 *
 * IPv4: family u16, port u16 big-endian, address 4 bytes. IPv6: family, port, flow info u32,
 * address 16 bytes, scope u32. Unix: family, then the path, NUL-terminated (108 bytes at most).
 */

import { isIPv6 } from "node:net";
import { assert } from "../util/assert.ts";
import { AddressFamily } from "./libc.ts";

export const SOCKET_ADDRESS_BYTES_MAX = 128;
const UNIX_PATH_BYTES_MAX = 107;

/** Writes an IP address and port; returns the structure's length. */
export function encodeIpAddress(into: DataView, ip: string, port: number): number {
  if (!isIPv6(ip)) {
    into.setUint16(0, AddressFamily.ipv4, true);
    into.setUint16(2, port, false);
    ip.split(".").forEach((part, index) => {
      into.setUint8(4 + index, Number(part));
    });
    into.setUint32(8, 0);
    into.setUint32(12, 0);
    return 16;
  }
  into.setUint16(0, AddressFamily.ipv6, true);
  into.setUint16(2, port, false);
  into.setUint32(4, 0);
  ipv6Groups(ip).forEach((group, index) => {
    into.setUint16(8 + index * 2, group, false);
  });
  into.setUint32(24, 0);
  return 28;
}

/** Writes a Unix path; returns the structure's length. */
export function encodeUnixAddress(into: DataView, path: string): number {
  const bytes = new TextEncoder().encode(path);
  assert(bytes.length <= UNIX_PATH_BYTES_MAX, "the path of a Unix socket has been checked");
  into.setUint16(0, AddressFamily.unix, true);
  bytes.forEach((byte, index) => {
    into.setUint8(2 + index, byte);
  });
  into.setUint8(2 + bytes.length, 0);
  return 3 + bytes.length;
}

/** The peer as text ("127.0.0.1", "::1", "unix"), and its port. */
export function decodeAddress(from: DataView): { readonly host: string; readonly port: number } {
  const family = from.getUint16(0, true);
  const port = from.getUint16(2, false);
  if (family === AddressFamily.ipv4) {
    const parts = [4, 5, 6, 7].map((at) => from.getUint8(at));
    return { host: parts.join("."), port };
  }
  if (family !== AddressFamily.ipv6) return { host: "unix", port: 0 };
  const groups: string[] = [];
  for (let at = 8; at < 24; at += 2) groups.push(from.getUint16(at, false).toString(16));
  // The URL parser of the platform knows the canonical short form.
  return { host: new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1), port };
}

function ipv6Groups(ip: string): number[] {
  const canonical = new URL(`http://[${ip.split("%")[0]}]`).hostname.slice(1, -1);
  const [head = "", tail] = canonical.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeroes = new Array<string>(8 - left.length - right.length).fill("0");
  const all = tail === undefined ? left : [...left, ...zeroes, ...right];
  return all.map((group) => Number.parseInt(group, 16));
}
