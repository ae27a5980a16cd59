/**
 * `nvmf://host:port/NQN?path=host2:port&queues=4` as the first stage: a namespace of another
 * server's NVMe subsystem over TCP. (As the last stage it is a share, `shares/nvmf-share.ts`.)
 * Stateless.
 */

import { NvmfDevice } from "../../devices/nvmf.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import { PenstockError } from "../../util/errors.ts";
import { uuidOfName } from "../../util/uuid.ts";
import type { UriStage } from "../ast.ts";
import { parseAuthority } from "../authority.ts";
import {
  checkNqn,
  checkUuid,
  NSID_MAX,
  NVMF_HOST_DEFAULT,
  NVMF_PORT_DEFAULT,
  nvmfUri,
  readNqn,
} from "../shares/nvmf-share.ts";
import type { StageOptions } from "../stage-options.ts";
import type { OptionHelp, SourcePlan } from "../stage-plan.ts";
import { givenOf, readRemoteOptions, readServer, REMOTE_OPTIONS } from "./remote-options.ts";

const PATHS_MAX = 8;
const QUEUES_MAX = 64;
const QUEUE_DEPTH_MAX = 255;
const KEEP_ALIVE_MS_MIN = 100;
const KEEP_ALIVE_MS_MAX = 600_000;

export const NVMF_SOURCE_OPTIONS: readonly OptionHelp[] = [
  { key: "path", value: "HOST:PORT+...", text: "more ways to the same subsystem" },
  { key: "nsid", value: "NUMBER", text: "the namespace; default: the first one" },
  { key: "queues", value: "NUMBER", text: "I/O queues on each path, a connection each; default 4" },
  { key: "depth", value: "NUMBER", text: "commands on a queue at a time; default 128" },
  { key: "hdgst", value: "BOOLEAN", text: "a checksum on every header" },
  { key: "ddgst", value: "BOOLEAN", text: "a checksum on all data" },
  { key: "hostnqn", value: "NQN", text: "what the server knows us by; default made from hostid" },
  {
    key: "hostid",
    value: "UUID",
    text: "what the server knows us by; an engine's pipe keeps its own",
  },
  { key: "kato", value: "TIME", text: "silence after which the server gives us up; default 5s" },
  ...REMOTE_OPTIONS,
];

export function planNvmfSource(text: string, stage: UriStage, options: StageOptions): SourcePlan {
  const first = readServer(text, stage, { host: NVMF_HOST_DEFAULT, port: NVMF_PORT_DEFAULT });
  const subsystemNqn = readNqn(text, stage);
  const addresses = [first, ...options.value("path", readPaths, { fallback: [] })];
  const settings = readSettings(options);
  const name = nvmfUri(first, subsystemNqn, settings.nsid ?? 1);
  return {
    servers: addresses,
    open: ({ reactor, instanceSeed, hostSeed, place, failFast, claims }) =>
      NvmfDevice.open(reactor, {
        addresses,
        subsystemNqn,
        name,
        openingId: uuidOfName(`nvmf:${instanceSeed}:${stage.span.offset}`),
        failFast: failFast === true,
        claims: claims === true,
        // Safety rule 4: killed and started again we are the same host. One for each source, since
        // a host that comes again ends its earlier association.
        ...(hostSeed === undefined
          ? {}
          : { hostId: uuidOfName(`nvmf-host:${hostSeed}:${place ?? ""}`) }),
        ...settings,
      }),
  };
}

/** Each only where it is given. */
function readSettings(options: StageOptions) {
  const optional = { fallback: undefined };
  const keepAlive = { minMs: KEEP_ALIVE_MS_MIN, maxMs: KEEP_ALIVE_MS_MAX, ...optional };
  return givenOf({
    nsid: options.integer("nsid", { min: 1, max: NSID_MAX, ...optional }),
    queues: options.integer("queues", { min: 1, max: QUEUES_MAX, ...optional }),
    queueDepth: options.integer("depth", { min: 1, max: QUEUE_DEPTH_MAX, ...optional }),
    headerDigest: options.boolean("hdgst", optional),
    dataDigest: options.boolean("ddgst", optional),
    hostNqn: options.value("hostnqn", checkNqn, optional),
    hostId: options.value("hostid", checkUuid, optional),
    keepAliveMs: options.duration("kato", keepAlive),
    ...readRemoteOptions(options),
  });
}

/** Joined by `+`, as NQNs are. */
function readPaths(value: string): readonly SocketAddress[] {
  const paths = value.split(/[+,]/);
  if (paths.length >= PATHS_MAX) {
    throw new PenstockError({
      code: "string-out-of-range",
      message: `found ${paths.length} more paths, expected fewer than ${PATHS_MAX}`,
    });
  }
  return paths.map((path) => {
    const { host, port } = parseAuthority(path, { offset: 0, length: path.length });
    if (host === "" || port === 0) {
      const message = `found the path "${path}", expected HOST or HOST:PORT`;
      throw new PenstockError({ code: "bad-host", message });
    }
    return { kind: "tcp", host, port: port ?? NVMF_PORT_DEFAULT };
  });
}
