/**
 * Where an engine's RPC is: "unix:PATH" (or a bare path) and "HOST:PORT", read and written. Pure.
 */

import { PenstockError } from "../util/errors.ts";

export type EngineAddress =
  | { readonly kind: "unix"; readonly path: string }
  /** IPv6 without brackets; port 0 asks for any free one. */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** What the kernel takes, with the terminating zero. */
const SOCKET_PATH_BYTES_MAX = 107;
const HOST_LENGTH_MAX = 253;
const PORT_MAX = 65_535;
const EXPECTED = "expected unix:PATH or HOST:PORT";

const TCP = /^(?:http:\/\/)?(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})\/?$/;

/** @throws PenstockError `engine-address-invalid` */
export function parseEngineAddress(text: string): EngineAddress {
  if (text.startsWith("unix:")) return unixAddress(text.slice("unix:".length));
  if (text.startsWith("/") || text.startsWith("./") || text.startsWith("../")) {
    return unixAddress(text);
  }
  const found = TCP.exec(text);
  const host = found?.[1] ?? found?.[2] ?? "";
  const port = Number(found?.[3]);
  if (host === "" || host.length > HOST_LENGTH_MAX) {
    throw invalid(`found "${text.slice(0, HOST_LENGTH_MAX)}", ${EXPECTED}`);
  }
  if (port > PORT_MAX) throw invalid(`found port ${port}, expected at most ${PORT_MAX}`);
  return { kind: "tcp", host, port };
}

export function formatEngineAddress(address: EngineAddress): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  const { host, port } = address;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function unixAddress(path: string): EngineAddress {
  if (path === "" || path.includes("\0")) throw invalid(`found no path after unix:, ${EXPECTED}`);
  const lengthBytes = new TextEncoder().encode(path).length;
  if (lengthBytes > SOCKET_PATH_BYTES_MAX) {
    throw invalid(
      `found a socket's path of ${lengthBytes} bytes, expected at most ${SOCKET_PATH_BYTES_MAX}: ` +
        path,
    );
  }
  return { kind: "unix", path };
}

function invalid(message: string): PenstockError {
  return new PenstockError({ code: "engine-address-invalid", message });
}
