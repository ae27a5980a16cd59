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
import { GrammarError } from "../grammar-error.ts";
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

const PATHS_MAX = 8;
const QUEUES_MAX = 64;
const QUEUE_DEPTH_MAX = 255;
const KEEP_ALIVE_MS_MIN = 100;
const KEEP_ALIVE_MS_MAX = 600_000;
const TIMEOUT_MS_MIN = 10;
const TIMEOUT_MS_MAX = 3_600_000;
const RIDE_OUT_MS_MAX = 86_400_000;

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
  { key: "timeout", value: "TIME", text: "for one answer; default 30s, under a mirror 5s" },
  { key: "connect-timeout", value: "TIME", text: "for connecting; default 2s" },
  {
    key: "ride-out",
    value: "TIME",
    text: "how long an outage may last before requests fail; default 60s, under a mirror 0s",
  },
  { key: "readonly", value: "BOOLEAN", text: "refuse writes" },
];

export function planNvmfSource(text: string, stage: UriStage, options: StageOptions): SourcePlan {
  const host = stage.host === "" ? NVMF_HOST_DEFAULT : stage.host;
  const port = stage.port ?? NVMF_PORT_DEFAULT;
  if (port === 0) {
    const message = "found port 0, expected the port that the server listens on";
    throw new GrammarError({ code: "bad-port", text, span: stage.authoritySpan, message });
  }
  const subsystemNqn = readNqn(text, stage);
  const first: SocketAddress = { kind: "tcp", host, port };
  const addresses = [first, ...options.value("path", readPaths, { fallback: [] })];
  const settings = readSettings(options);
  const name = nvmfUri(first, subsystemNqn, settings.nsid ?? 1);
  return {
    servers: addresses,
    open: ({ reactor, instanceSeed, hostSeed, place, failFast }) =>
      NvmfDevice.open(reactor, {
        addresses,
        subsystemNqn,
        name,
        openingId: uuidOfName(`nvmf:${instanceSeed}:${stage.span.offset}`),
        failFast: failFast === true,
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
  const times = { minMs: TIMEOUT_MS_MIN, maxMs: TIMEOUT_MS_MAX, ...optional };
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
    timeoutMs: options.duration("timeout", times),
    connectTimeoutMs: options.duration("connect-timeout", times),
    rideOutMs: options.duration("ride-out", { maxMs: RIDE_OUT_MS_MAX, ...optional }),
    readOnly: options.boolean("readonly", optional),
  });
}

type Given<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };

function givenOf<T extends object>(values: T): Given<T> {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as Given<T>;
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
