/**
 * Addresses to listen on: their limits, and Unix socket paths that a dead listener left behind.
 *
 * Control path; the same at every level that runs on a real machine.
 */

import { lstat, unlink } from "node:fs/promises";
import { createConnection } from "node:net";

import { Errno } from "./errno.ts";
import type { SocketAddress } from "./io.ts";
import { addressInvalidError, failureOf } from "./io-errors.ts";

export type UnixAddress = Extract<SocketAddress, { readonly kind: "unix" }>;

/** `sun_path` has 108 bytes, the last one for the NUL. spec: unix(7) */
const UNIX_PATH_BYTES_MAX = 107;

/** @throws PenstockError `address-invalid` */
export function checkAddress(address: SocketAddress): void {
  if (address.kind === "tcp") {
    const { port } = address;
    if (Number.isInteger(port) && port >= 0 && port <= 65_535) return;
    throw addressInvalidError(address, "a port is 0 to 65535");
  }
  const lengthBytes = Buffer.byteLength(address.path);
  if (lengthBytes === 0 || lengthBytes > UNIX_PATH_BYTES_MAX) {
    throw addressInvalidError(
      address,
      `the path has ${lengthBytes} bytes, 1 to ${UNIX_PATH_BYTES_MAX} are allowed`,
    );
  }
}

/** Unlinks the socket of a dead listener. False when somebody answers there. */
export async function removeStale(address: UnixAddress): Promise<boolean> {
  const { path } = address;
  try {
    if (!(await lstat(path)).isSocket()) {
      throw addressInvalidError(address, "it exists and is not a socket");
    }
    if (await answers(path)) return false;
    await unlink(path);
  } catch (error) {
    // Gone meanwhile: so much the better.
    if (failureOf(error).errno !== Errno.ENOENT) throw error;
  }
  return true;
}

/** Only a refusal says that nobody listens there. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error) => resolve(failureOf(error).errno !== Errno.ECONNREFUSED));
  });
}
