/**
 * `nbd://host:port/name` and `nbd+unix:///name?socket=PATH`: an NBD export as the last stage, and
 * the URI under which standard clients find it. Stateless.
 */

import { resolve } from "node:path";
import type { SocketAddress } from "../../reactor/io.ts";
import { PenstockError } from "../../util/errors.ts";
import type { UriStage } from "../ast.ts";
import { GrammarError } from "../grammar-error.ts";
import type { NbdSharePlan } from "../share-plan.ts";
import type { StageOptions } from "../stage-options.ts";
import { type OptionHelp, refuseHost } from "../stage-plan.ts";

/** spec: NBD proto.md: the port that IANA assigned */
export const NBD_PORT_DEFAULT = 10809;
export const NBD_HOST_DEFAULT = "127.0.0.1";
/** spec: NBD proto.md "Conventions": longest string, in bytes of UTF-8 */
const STRING_BYTES_MAX = 4096;
/** spec: unix(7): sun_path, with its closing NUL */
const SOCKET_PATH_BYTES_MAX = 107;
const CONNECTIONS_MAX = 65_536;

const COMMON_OPTIONS: readonly OptionHelp[] = [
  { key: "description", value: "TEXT", text: "shown by clients that list exports" },
  { key: "readonly", value: "BOOLEAN", text: "refuse writes on this share" },
  { key: "maxconnections", value: "NUMBER", text: "connections at a time" },
];
export const NBD_OPTIONS: readonly OptionHelp[] = COMMON_OPTIONS;
export const NBD_UNIX_OPTIONS: readonly OptionHelp[] = [
  { key: "socket", value: "PATH", text: "required: the Unix socket to listen on" },
  ...COMMON_OPTIONS,
];

export function planNbd(text: string, stage: UriStage, options: StageOptions): NbdSharePlan {
  const host = stage.host === "" ? NBD_HOST_DEFAULT : stage.host;
  const port = stage.port ?? NBD_PORT_DEFAULT;
  return planExport(text, stage, options, { kind: "tcp", host, port });
}

export function planNbdUnix(text: string, stage: UriStage, options: StageOptions): NbdSharePlan {
  refuseHost(text, stage);
  const path = readSocketPath(options);
  return planExport(text, stage, options, { kind: "unix", path });
}

/** What a client is given: `nbd://127.0.0.1:10809/name`. spec: NBD uri.md */
export function nbdUri(address: SocketAddress, exportName: string): string {
  const name = encodePath(exportName);
  if (address.kind === "unix") {
    return `nbd+unix:///${name}?socket=${encodePath(address.path)}`;
  }
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `nbd://${host.replaceAll("%", "%25")}:${address.port}/${name}`;
}

/** @throws GrammarError `name-too-long` */
export function readExportName(text: string, stage: UriStage): string {
  const exportName = stage.path.replace(/^\//, "");
  const lengthBytes = Buffer.byteLength(exportName);
  if (lengthBytes > STRING_BYTES_MAX) {
    const message = `found a name of ${lengthBytes} bytes, expected at most ${STRING_BYTES_MAX}`;
    throw new GrammarError({ code: "name-too-long", text, span: stage.pathSpan, message });
  }
  return exportName;
}

/** The option `socket`, absolute. */
export function readSocketPath(options: StageOptions): string {
  return options.value("socket", checkSocketPath);
}

function planExport(
  text: string,
  stage: UriStage,
  options: StageOptions,
  address: SocketAddress,
): NbdSharePlan {
  const exportName = readExportName(text, stage);
  return {
    kind: "nbd",
    address,
    exportName,
    description: options.value("description", checkDescription, { fallback: "" }),
    readOnly: options.boolean("readonly", { fallback: false }),
    maxConnections: options.integer("maxconnections", {
      min: 1,
      max: CONNECTIONS_MAX,
      fallback: undefined,
    }),
  };
}

function checkSocketPath(value: string): string {
  const path = value === "" ? "" : resolve(value);
  const lengthBytes = Buffer.byteLength(path);
  if (lengthBytes === 0 || lengthBytes > SOCKET_PATH_BYTES_MAX) {
    throw new PenstockError({
      code: "socket-path-invalid",
      message: `found a path of ${lengthBytes} bytes, expected 1 to ${SOCKET_PATH_BYTES_MAX}`,
    });
  }
  return path;
}

function checkDescription(value: string): string {
  const lengthBytes = Buffer.byteLength(value);
  if (lengthBytes > STRING_BYTES_MAX || value.includes("\0")) {
    throw new PenstockError({
      code: "string-out-of-range",
      message: `found ${lengthBytes} bytes, expected at most ${STRING_BYTES_MAX} and no NUL`,
    });
  }
  return value;
}

/** Everything that is special in a URI or in our grammar escaped, but for the slashes. */
function encodePath(text: string): string {
  const escapeOf = (character: string): string =>
    `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(text)
    .replaceAll("%2F", "/")
    .replace(/[!'()*]/g, escapeOf);
}
