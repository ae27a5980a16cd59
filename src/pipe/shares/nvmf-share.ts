/**
 * `nvmf://host:port/NQN?nsid=1`: a namespace of an NVMe subsystem over TCP as the last stage, and
 * the URI under which another Penstock finds it. Stateless.
 */

import { resolve } from "node:path";
import { CNTLID_MAX } from "../../proto/nvme/constants.ts";
import { MODEL_BYTES, SERIAL_BYTES } from "../../proto/nvme/identify-controller.ts";
import { NAMESPACES_MAX } from "../../proto/nvme/namespace.ts";
import { DISCOVERY_NQN, isNqn, NQN_BYTES_MAX } from "../../proto/nvme/nqn.ts";
import { QUEUE_ENTRIES_MAX, QUEUES_MAX } from "../../proto/nvme/subsystem-options.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import { PenstockError } from "../../util/errors.ts";
import { uuidOfName } from "../../util/uuid.ts";
import type { UriStage } from "../ast.ts";
import { percentEncode } from "../characters.ts";
import { GrammarError } from "../grammar-error.ts";
import { checkLength, parseInteger } from "../option-values.ts";
import {
  ANA_STATES,
  type ControllerIdRange,
  type NvmfSharePlan,
  type NvmfSubsystemSettings,
} from "../share-plan.ts";
import type { StageOptions } from "../stage-options.ts";
import type { OptionHelp } from "../stage-plan.ts";

/** spec: NVMe/TCP 1.0 section 1.5: the port that IANA assigned to NVMe over TCP */
export const NVMF_PORT_DEFAULT = 4420;
export const NVMF_HOST_DEFAULT = "127.0.0.1";
export const NSID_MAX: number = NAMESPACES_MAX;
const CONNECTIONS_MAX = 65_536;
/** With less, Linux cannot read the ANA log page as one, and does without ANA or not connect. */
const TRANSFER_BYTES_MIN = 64 * 1024;
const TRANSFER_BYTES_MAX = 1 << 20;
const QUEUE_DEPTH_MIN = 2;
const IN_CAPSULE_BYTES_MAX = 65_536;
const IN_CAPSULE_UNIT_BYTES = 16;
const HOSTS_MAX = 256;

export const NVMF_OPTIONS: readonly OptionHelp[] = [
  { key: "nsid", value: "NUMBER", text: "id of the namespace in its subsystem; default 1" },
  { key: "uuid", value: "UUID", text: "of the namespace; default made from NQN and nsid" },
  { key: "readonly", value: "BOOLEAN", text: "refuse writes on this share" },
  { key: "reservations", value: "PATH", text: "file that keeps reservations over restarts" },
  { key: "hosts", value: "NQN+NQN...", text: "hosts that may connect; default any" },
  { key: "serial", value: "TEXT", text: "of the subsystem; default made from the NQN" },
  { key: "model", value: "TEXT", text: "of the subsystem; default Penstock" },
  { key: "cntlid", value: "FROM-TO", text: "controller ids, apart in each engine of a subsystem" },
  {
    key: "mdts",
    value: "SIZE",
    text: "longest transfer of a command, a power of two from 64KiB on; default 1MiB",
  },
  { key: "queues", value: "NUMBER", text: "I/O queues of a controller" },
  { key: "depth", value: "NUMBER", text: "entries of a queue" },
  { key: "incapsule", value: "SIZE", text: "data that comes with a command; default 8KiB" },
  { key: "ana", value: ANA_STATES.join("|"), text: "state of this path; default optimized" },
  { key: "maxconnections", value: "NUMBER", text: "connections of the subsystem at a time" },
];

export function planNvmf(text: string, stage: UriStage, options: StageOptions): NvmfSharePlan {
  const host = stage.host === "" ? NVMF_HOST_DEFAULT : stage.host;
  const port = stage.port ?? NVMF_PORT_DEFAULT;
  const nqn = readNqn(text, stage);
  if (nqn === DISCOVERY_NQN) {
    const message = `found ${nqn}, which every server has: expected a name for the subsystem`;
    throw new GrammarError({ code: "nqn-invalid", text, span: stage.pathSpan, message });
  }
  const nsid = options.integer("nsid", { min: 1, max: NSID_MAX, fallback: 1 });
  return {
    kind: "nvmf",
    address: { kind: "tcp", host, port },
    nqn,
    nsid,
    uuid: options.value("uuid", checkUuid, { fallback: uuidOfName(`nvmf:${nqn}:${nsid}`) }),
    readOnly: options.boolean("readonly", { fallback: false }),
    anaState: options.oneOf("ana", ANA_STATES, { fallback: "optimized" }),
    reservationsPath: options.value("reservations", checkPath, { fallback: undefined }),
    subsystem: readSubsystem(options),
  };
}

/** What a client of ours is given: `nvmf://127.0.0.1:4420/NQN?nsid=2`. */
export function nvmfUri(address: SocketAddress, nqn: string, nsid: number): string {
  const where = address.kind === "tcp" ? address : { host: "", port: 0 };
  const host = where.host.includes(":") ? `[${where.host}]` : where.host;
  const options = nsid === 1 ? "" : `?nsid=${nsid}`;
  return `nvmf://${host.replaceAll("%", "%25")}:${where.port}/${percentEncode(nqn)}${options}`;
}

/** @throws GrammarError `nqn-invalid` */
export function readNqn(text: string, stage: UriStage): string {
  const nqn = stage.path.replace(/^\//, "");
  try {
    return checkNqn(nqn);
  } catch (thrown) {
    if (!(thrown instanceof PenstockError)) throw thrown;
    const { code, message } = thrown;
    const span = stage.pathSpan.length > 0 ? stage.pathSpan : stage.span;
    throw new GrammarError({ code, text, span, message });
  }
}

/** `nqn` itself. @throws PenstockError `nqn-invalid` */
export function checkNqn(nqn: string): string {
  if (isNqn(nqn)) return nqn;
  const lengthBytes = Buffer.byteLength(nqn);
  const found = nqn === "" ? "no NQN" : `"${nqn.slice(0, 80)}" of ${lengthBytes} bytes`;
  throw new PenstockError({
    code: "nqn-invalid",
    message:
      `found ${found}, expected at most ${NQN_BYTES_MAX} bytes such as ` +
      "nqn.2026-11.io.penstock:vol1",
  });
}

/** NQNs joined by `+`: a comma has a meaning of its own in pipes. */
function readNqns(value: string): readonly string[] {
  const nqns = value.split(/[+,]/);
  if (nqns.length > HOSTS_MAX) {
    throw new PenstockError({
      code: "string-out-of-range",
      message: `found ${nqns.length} NQNs, expected at most ${HOSTS_MAX}`,
    });
  }
  return nqns.map(checkNqn);
}

function readSubsystem(options: StageOptions): NvmfSubsystemSettings {
  const optional = { fallback: undefined };
  return {
    hosts: options.value("hosts", readNqns, optional),
    serial: options.value("serial", (value) => checkAscii(value, SERIAL_BYTES), optional),
    model: options.value("model", (value) => checkAscii(value, MODEL_BYTES), optional),
    controllerIds: options.value("cntlid", readControllerIds, optional),
    transferBytesMax: readTransferBytes(options),
    queuesMax: options.integer("queues", { min: 1, max: QUEUES_MAX, ...optional }),
    queueDepthMax: options.integer("depth", {
      min: QUEUE_DEPTH_MIN,
      max: QUEUE_ENTRIES_MAX,
      ...optional,
    }),
    inCapsuleBytes: readInCapsuleBytes(options),
    maxConnections: options.integer("maxconnections", {
      min: 1,
      max: CONNECTIONS_MAX,
      ...optional,
    }),
  };
}

function readTransferBytes(options: StageOptions): number | undefined {
  const limits = { minBytes: TRANSFER_BYTES_MIN, maxBytes: TRANSFER_BYTES_MAX };
  const bytes = options.size("mdts", { ...limits, fallback: undefined });
  if (bytes !== undefined && !Number.isInteger(Math.log2(bytes))) {
    throw options.refuse("mdts", `found ${bytes} bytes, expected a power of two`);
  }
  return bytes;
}

function readInCapsuleBytes(options: StageOptions): number | undefined {
  const maxBytes = IN_CAPSULE_BYTES_MAX;
  const bytes = options.size("incapsule", { maxBytes, fallback: undefined });
  if (bytes !== undefined && bytes % IN_CAPSULE_UNIT_BYTES !== 0) {
    const unit = IN_CAPSULE_UNIT_BYTES;
    throw options.refuse("incapsule", `found ${bytes} bytes, expected a multiple of ${unit}`);
  }
  return bytes;
}

function readControllerIds(value: string): ControllerIdRange {
  const [from = "", to = "", ...others] = value.split("-");
  const range = { min: 1, max: CNTLID_MAX };
  const isRange = from !== "" && to !== "" && others.length === 0;
  const ids = isRange
    ? { min: parseInteger(from, range), max: parseInteger(to, range) }
    : { min: 1, max: 0 };
  if (ids.min > ids.max) {
    throw new PenstockError({
      code: "range-invalid",
      message: `found "${value}", expected FROM-TO, the smaller one first, such as 1-1000`,
    });
  }
  return ids;
}

/** In lower case. @throws PenstockError `uuid-invalid` */
export function checkUuid(value: string): string {
  const uuid = value.toLowerCase();
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) return uuid;
  throw new PenstockError({
    code: "uuid-invalid",
    message: `found "${value.slice(0, 40)}", expected a UUID: 8-4-4-4-12 hexadecimal digits`,
  });
}

function checkPath(value: string): string {
  return resolve(checkLength(value, {}));
}

/** spec: NVMe Base 2.0 section 1.5.2: ASCII strings have the codes 0x20 to 0x7e */
function checkAscii(value: string, lengthMax: number): string {
  checkLength(value, { lengthMax });
  if (/^[ -~]+$/.test(value)) return value;
  throw new PenstockError({
    code: "string-out-of-range",
    message: `found characters that are not ASCII, expected 1 to ${lengthMax} that are`,
  });
}
