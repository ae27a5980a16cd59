/**
 * `nbd://host:port/name` and `nbd+unix:///name?socket=PATH` as the first stage: another server's
 * export as the source. (As the last stage they are shares, `shares/nbd-share.ts`.) Stateless.
 */

import { NbdDevice } from "../../devices/nbd.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import { uuidOfName } from "../../util/uuid.ts";
import type { UriStage } from "../ast.ts";
import { GrammarError } from "../grammar-error.ts";
import {
  NBD_HOST_DEFAULT,
  NBD_PORT_DEFAULT,
  nbdUri,
  readExportName,
  readSocketPath,
} from "../shares/nbd-share.ts";
import type { StageOptions } from "../stage-options.ts";
import { type OptionHelp, refuseHost, type SourcePlan } from "../stage-plan.ts";
import { readBlockSize } from "./block-size.ts";

const CONNECTIONS_MAX = 64;
const TIMEOUT_MS_MIN = 10;
const TIMEOUT_MS_MAX = 3_600_000;
const RIDE_OUT_MS_MAX = 86_400_000;

const COMMON_OPTIONS: readonly OptionHelp[] = [
  { key: "connections", value: "NUMBER", text: "where the server allows several; default 4" },
  { key: "timeout", value: "TIME", text: "for one answer; default 30s, under a mirror 5s" },
  { key: "connect-timeout", value: "TIME", text: "for connecting; default 2s" },
  {
    key: "ride-out",
    value: "TIME",
    text: "how long an outage may last before requests fail; default 60s, under a mirror 0s",
  },
  { key: "readonly", value: "BOOLEAN", text: "refuse writes" },
  { key: "blocksize", value: "512|4096", text: "default: the server's minimum, at least 512" },
];
export const NBD_SOURCE_OPTIONS: readonly OptionHelp[] = COMMON_OPTIONS;
export const NBD_UNIX_SOURCE_OPTIONS: readonly OptionHelp[] = [
  { key: "socket", value: "PATH", text: "required: the server's Unix socket" },
  ...COMMON_OPTIONS,
];

export function planNbdSource(text: string, stage: UriStage, options: StageOptions): SourcePlan {
  const host = stage.host === "" ? NBD_HOST_DEFAULT : stage.host;
  const port = stage.port ?? NBD_PORT_DEFAULT;
  if (port === 0) {
    const message = "found port 0, expected the port that the server listens on";
    throw new GrammarError({ code: "bad-port", text, span: stage.authoritySpan, message });
  }
  return planExport(text, stage, options, { kind: "tcp", host, port });
}

export function planNbdUnixSource(
  text: string,
  stage: UriStage,
  options: StageOptions,
): SourcePlan {
  refuseHost(text, stage);
  return planExport(text, stage, options, { kind: "unix", path: readSocketPath(options) });
}

function planExport(
  text: string,
  stage: UriStage,
  options: StageOptions,
  address: SocketAddress,
): SourcePlan {
  const exportName = readExportName(text, stage);
  const connections = options.integer("connections", {
    min: 1,
    max: CONNECTIONS_MAX,
    fallback: undefined,
  });
  const limits = { minMs: TIMEOUT_MS_MIN, maxMs: TIMEOUT_MS_MAX, fallback: undefined };
  const timeoutMs = options.duration("timeout", limits);
  const connectTimeoutMs = options.duration("connect-timeout", limits);
  const rideOutMs = options.duration("ride-out", { maxMs: RIDE_OUT_MS_MAX, fallback: undefined });
  const readOnly = options.boolean("readonly", { fallback: false });
  const blockSizeBytes = readBlockSize(options);
  const name = nbdUri(address, exportName);
  return {
    servers: [address],
    open: ({ reactor, instanceSeed, failFast }) =>
      NbdDevice.open(reactor, {
        address,
        exportName,
        name,
        openingId: uuidOfName(`nbd:${instanceSeed}:${stage.span.offset}`),
        readOnly,
        failFast: failFast === true,
        ...(connections === undefined ? {} : { connections }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
        ...(rideOutMs === undefined ? {} : { rideOutMs }),
        ...(blockSizeBytes === undefined ? {} : { blockSizeBytes }),
      }),
  };
}
