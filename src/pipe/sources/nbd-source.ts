/**
 * `nbd://host:port/name` and `nbd+unix:///name?socket=PATH` as the first stage: another server's
 * export as the source. (As the last stage they are shares, `shares/nbd-share.ts`.) Stateless.
 */

import { NbdDevice } from "../../devices/nbd.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import { uuidOfName } from "../../util/uuid.ts";
import type { UriStage } from "../ast.ts";
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
import { givenOf, readRemoteOptions, readServer, REMOTE_OPTIONS } from "./remote-options.ts";

const CONNECTIONS_MAX = 64;

const COMMON_OPTIONS: readonly OptionHelp[] = [
  { key: "connections", value: "NUMBER", text: "where the server allows several; default 4" },
  ...REMOTE_OPTIONS,
  { key: "blocksize", value: "512|4096", text: "default: the server's minimum, at least 512" },
];
export const NBD_SOURCE_OPTIONS: readonly OptionHelp[] = COMMON_OPTIONS;
export const NBD_UNIX_SOURCE_OPTIONS: readonly OptionHelp[] = [
  { key: "socket", value: "PATH", text: "required: the server's Unix socket" },
  ...COMMON_OPTIONS,
];

export function planNbdSource(text: string, stage: UriStage, options: StageOptions): SourcePlan {
  const address = readServer(text, stage, { host: NBD_HOST_DEFAULT, port: NBD_PORT_DEFAULT });
  return planExport(text, stage, options, address);
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
  const settings = givenOf({
    connections: options.integer("connections", {
      min: 1,
      max: CONNECTIONS_MAX,
      fallback: undefined,
    }),
    ...readRemoteOptions(options),
    blockSizeBytes: readBlockSize(options),
  });
  const name = nbdUri(address, exportName);
  return {
    servers: [address],
    open: ({ reactor, instanceSeed, failFast }) =>
      NbdDevice.open(reactor, {
        address,
        exportName,
        name,
        openingId: uuidOfName(`nbd:${instanceSeed}:${stage.span.offset}`),
        failFast: failFast === true,
        ...settings,
      }),
  };
}
