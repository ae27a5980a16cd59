/**
 * The errors of an Io's control operations, made in one place so that every level says the same.
 *
 * Pure. Levels know an errno (node:fs and node:net carry it negated in `error.errno`); name
 * resolution failures come as numbers beyond all errnos.
 */

import { getSystemErrorMap, getSystemErrorName } from "node:util";

import { PenstockError } from "../util/errors.ts";
import { Errno } from "./errno.ts";
import type { SocketAddress } from "./io.ts";

/** Not in `Errno` because no data-path result carries them. */
const ENAMETOOLONG = 36;
const EAFNOSUPPORT = 97;
const ENETUNREACH = 101;
/** Linux has no errno from here on; libuv's own codes (name resolution and such) are above. */
const ERRNO_END = 1024;

const FILE_CODES: Readonly<Record<number, string>> = {
  [Errno.ENOENT]: "not-found",
  [Errno.ENOTDIR]: "not-found",
  [Errno.EACCES]: "permission-denied",
  [Errno.EPERM]: "permission-denied",
  [Errno.EROFS]: "permission-denied",
  [Errno.EISDIR]: "invalid-file",
  [Errno.ENXIO]: "invalid-file",
  [ENAMETOOLONG]: "invalid-file",
  [Errno.EBUSY]: "claimed",
  [Errno.ETXTBSY]: "claimed",
  [Errno.ENOSPC]: "no-space",
  [Errno.EDQUOT]: "no-space",
  [Errno.EFBIG]: "no-space",
};

const ADDRESS_CODES: Readonly<Record<number, string>> = {
  [Errno.EADDRINUSE]: "address-in-use",
  [Errno.EACCES]: "permission-denied",
  [Errno.EPERM]: "permission-denied",
  [Errno.EROFS]: "permission-denied",
  [Errno.EADDRNOTAVAIL]: "address-invalid",
  [Errno.EINVAL]: "address-invalid",
  [Errno.ENOENT]: "address-invalid",
  [Errno.ENOTDIR]: "address-invalid",
  [ENAMETOOLONG]: "address-invalid",
  [EAFNOSUPPORT]: "address-invalid",
};

/** Connecting differs: nobody there is a passing state, whatever the kind of address. */
const CONNECT_CODES: Readonly<Record<number, string>> = {
  ...ADDRESS_CODES,
  [Errno.ECONNREFUSED]: "connection-refused",
  [Errno.ENOENT]: "connection-refused",
  [Errno.ETIMEDOUT]: "connection-timeout",
  [Errno.EHOSTUNREACH]: "connection-failed",
  [ENETUNREACH]: "connection-failed",
  [Errno.ECONNRESET]: "connection-failed",
  [Errno.ECONNABORTED]: "connection-failed",
  [Errno.EAGAIN]: "connection-failed",
};

const RETRYABLE: ReadonlySet<string> = new Set([
  "connection-refused",
  "connection-timeout",
  "connection-failed",
]);

/** What failed: `errno` is positive, 0 when unknown. */
export interface SystemFailure {
  readonly errno: number;
  readonly cause?: unknown;
}

/** "127.0.0.1:10809", "[::1]:10809" or "unix:/run/x.sock". */
export function formatSocketAddress(address: SocketAddress): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/** Takes the errno out of what node:fs and node:net throw; EINVAL for refused arguments. */
export function failureOf(error: unknown): SystemFailure {
  const errno = error instanceof Error && "errno" in error ? error.errno : undefined;
  return { errno: typeof errno === "number" ? Math.abs(errno) : Errno.EINVAL, cause: error };
}

/** Opening `path` failed with an errno. */
export function openFileError(path: string, failure: SystemFailure): PenstockError {
  return wrap(`cannot open ${path}`, FILE_CODES, failure);
}

/** `path` is there but is not something that holds data: a directory, a pipe, a socket. */
export function invalidFileError(path: string, kind: string): PenstockError {
  return new PenstockError({
    code: "invalid-file",
    message: `cannot open ${path}: it is ${kind}, not a regular file or a block device`,
    details: { path },
  });
}

/** The file has another size than asked for and must not be brought to it. */
export function sizeMismatchError(
  path: string,
  sizes: { readonly haveBytes: number; readonly wantedBytes: number },
): PenstockError {
  const { haveBytes, wantedBytes } = sizes;
  return new PenstockError({
    code: "size-mismatch",
    message: `${path} has ${haveBytes} bytes but ${wantedBytes} are asked for`,
    details: { path, haveBytes, wantedBytes },
  });
}

/** The level, or the file system, cannot open `path` with O_DIRECT. */
export function directUnsupportedError(path: string, reason: string): PenstockError {
  return new PenstockError({
    code: "unsupported",
    message: `cannot open ${path} for direct I/O: ${reason}`,
    details: { path },
  });
}

export function listenError(address: SocketAddress, failure: SystemFailure): PenstockError {
  return wrap(`cannot listen on ${formatSocketAddress(address)}`, ADDRESS_CODES, failure);
}

export function connectError(address: SocketAddress, failure: SystemFailure): PenstockError {
  return wrap(`cannot connect to ${formatSocketAddress(address)}`, CONNECT_CODES, failure);
}

/** Somebody no longer wants the connection. */
export function connectAbortedError(address: SocketAddress): PenstockError {
  return new PenstockError({
    code: "aborted",
    message: `connecting to ${formatSocketAddress(address)} was given up`,
    retryable: true,
  });
}

/** The address itself makes no sense, for a reason in words. */
export function addressInvalidError(address: SocketAddress, reason: string): PenstockError {
  return new PenstockError({
    code: "address-invalid",
    message: `invalid address ${formatSocketAddress(address)}: ${reason}`,
  });
}

function wrap(
  what: string,
  codes: Readonly<Record<number, string>>,
  failure: SystemFailure,
): PenstockError {
  const { errno, cause } = failure;
  const beyond = errno >= ERRNO_END && codes !== FILE_CODES ? "address-invalid" : undefined;
  const code = codes[errno] ?? beyond ?? `system-${systemName(errno).toLowerCase()}`;
  return new PenstockError({
    code,
    message: `${what}: ${systemText(errno)}`,
    retryable: RETRYABLE.has(code),
    details: { systemCode: systemName(errno) },
    cause,
  });
}

function systemName(errno: number): string {
  return errno > 0 ? (getSystemErrorName(-errno) ?? `E${errno}`) : "EUNKNOWN";
}

function systemText(errno: number): string {
  const text = errno > 0 ? getSystemErrorMap().get(-errno)?.[1] : undefined;
  return `${text ?? "unknown error"} (${systemName(errno)})`;
}
