/**
 * ControllerSession: what a controller says of itself and of the one namespace that is used. Plain
 * values, read once per association.
 */

import { encodeGetLogPage, encodeIdentify } from "../../proto/nvme/admin-commands.ts";
import { AnaState, Cns, CommandSet, IDENTIFY_BYTES, LogPage } from "../../proto/nvme/constants.ts";
import {
  Cmic,
  decodeIdentifyController,
  decodeIdentifyNvmController,
  type IdentifyController,
  type IdentifyNvmController,
  Vwc,
} from "../../proto/nvme/identify-controller.ts";
import {
  decodeNamespaceDescriptors,
  decodeNamespaceList,
} from "../../proto/nvme/identify-lists.ts";
import {
  currentFormat,
  decodeIdentifyIndependentNamespace,
  decodeIdentifyNamespace,
  type IdentifyNamespace,
  IndependentNsfeat,
} from "../../proto/nvme/identify-namespace.ts";
import { decodeAnaLog } from "../../proto/nvme/log-ana.ts";
import type { Capabilities } from "../../proto/nvme/properties.ts";
import { codeOf, NvmeStatus } from "../../proto/nvme/status.ts";
import {
  decodeInstanceData,
  encodeClaimCommand,
  encodeInstanceCommand,
  INSTANCE_BYTES,
  PENSTOCK_MODEL,
} from "../../proto/nvme/vendor.ts";
import type { ControllerClient } from "./controller-client.ts";
import { claimFailure, commandFailure, failure } from "./controller-failure.ts";

export interface NamespaceTerms {
  readonly nsid: number;
  /** Of the namespace, the same over every path; "": it has no name of its own. */
  readonly identity: string;
  readonly blockBytes: number;
  readonly sizeBytes: number;
  /** Acknowledged writes need a flush to survive power loss. */
  readonly hasCache: boolean;
  readonly fields: IdentifyNamespace;
}

export interface ControllerSession {
  readonly controller: IdentifyController;
  readonly capabilities: Capabilities;
  readonly limits: IdentifyNvmController | null;
  readonly namespace: NamespaceTerms;
  /** Of a controller of ours. */
  readonly instanceId: string | null;
}

/** ANA log pages are at most this long here: 16 bytes, a group of one namespace and a few more. */
const ANA_LOG_BYTES = 4096;

/**
 * @param nsid null: the first that there is
 * @throws PenstockError `controller-error`, `namespace-unknown`, `format-unsupported`
 */
export async function readSession(
  client: ControllerClient,
  capabilities: Capabilities,
  nsid: number | null,
): Promise<ControllerSession> {
  const controller = await identifyController(client);
  const about = { controller, capabilities };
  const namespace = await readNamespace(client, about, nsid ?? (await firstNamespace(client)));
  const isOurs = controller.mn.startsWith(PENSTOCK_MODEL);
  return {
    controller,
    capabilities,
    limits: capabilities.commandSets ? await readLimits(client) : null,
    namespace,
    instanceId: isOurs ? await readInstance(client, namespace.nsid) : null,
  };
}

/**
 * Keeps other hosts from having the namespace in a mirror, where the target is one of ours, for as
 * long as the host has an association.
 * @returns false: the target knows no claims
 * @throws PenstockError `claimed`, `controller-error`
 */
export async function claimNamespace(
  client: ControllerClient,
  { controller, namespace }: ControllerSession,
): Promise<boolean> {
  const { admin, place } = client;
  if (admin === null || !controller.mn.startsWith(PENSTOCK_MODEL)) return false;
  const { nsid } = namespace;
  const { status } = await client.ask(admin, (sqe) => encodeClaimCommand(nsid, true, sqe));
  const code = codeOf(status);
  if (code === NvmeStatus.invalidOpcode) return false;
  if (code === NvmeStatus.reservationConflict) throw claimFailure(place, nsid);
  if (code !== NvmeStatus.success) throw commandFailure(place, "claiming", status);
  return true;
}

/** Gives the claim back, so that the next host need not wait for the end of the association. */
export async function releaseNamespace(client: ControllerClient, nsid: number): Promise<void> {
  const { admin } = client;
  if (admin !== null) await client.ask(admin, (sqe) => encodeClaimCommand(nsid, false, sqe));
}

export async function identifyController(client: ControllerClient): Promise<IdentifyController> {
  const bytes = await identify(client, "Identify Controller", Cns.controller, 0);
  const controller = decodeIdentifyController(bytes);
  if (controller === null) throw unreadable(client, "Identify Controller");
  return controller;
}

/** @throws PenstockError `namespace-unknown`, `format-unsupported` */
export async function readNamespace(
  client: ControllerClient,
  about: Pick<ControllerSession, "capabilities" | "controller">,
  nsid: number,
): Promise<NamespaceTerms> {
  const bytes = await identify(client, "Identify Namespace", Cns.namespace, nsid);
  const fields = decodeIdentifyNamespace(bytes);
  if (fields === null) throw unreadable(client, "Identify Namespace");
  const { address, subsystemNqn } = client.place;
  if (fields.nsze === 0) {
    const text = `${subsystemNqn} at ${address} has no namespace ${nsid}`;
    throw failure("namespace-unknown", text);
  }
  const format = currentFormat(fields);
  const blockBytes = format === null ? 0 : 2 ** format.lbads;
  if (format === null || format.ms !== 0 || (blockBytes !== 512 && blockBytes !== 4096)) {
    const text = `namespace ${nsid} of ${subsystemNqn} has blocks of ${blockBytes} bytes`;
    const metadata = format === null || format.ms === 0 ? "" : ` and ${format.ms} of metadata`;
    throw failure("format-unsupported", `${text}${metadata}; 512 and 4096 without are supported`);
  }
  const identity = await readIdentity(client, nsid, fields);
  const hasCache = (about.controller.vwc & Vwc.present) !== 0;
  const isExempt = hasCache && about.capabilities.commandSets && (await isCacheless(client, nsid));
  const sizeBytes = fields.nsze * blockBytes;
  return { nsid, identity, blockBytes, sizeBytes, hasCache: hasCache && !isExempt, fields };
}

/** How a namespace is reached over this path: `AnaState`. */
export async function readAnaState(
  client: ControllerClient,
  { controller, namespace }: ControllerSession,
): Promise<number> {
  const group = namespace.fields.anagrpid;
  if ((controller.cmic & Cmic.ana) === 0 || group === 0) return AnaState.optimized;
  const request = {
    logPage: LogPage.ana,
    nsid: 0,
    lengthBytes: ANA_LOG_BYTES,
    offset: 0,
    specific: 0,
    retainEvent: false,
  };
  const { bytes } = await client.command(
    "reading the ANA log page",
    (sqe) => encodeGetLogPage(request, sqe),
    { replyBytes: ANA_LOG_BYTES },
  );
  const found = decodeAnaLog(bytes)?.groups.find(({ id }) => id === group);
  return found?.state ?? AnaState.optimized;
}

/** Reads the list of changed namespaces, so that the next change is told of, too. */
export async function clearChangedNamespaces(client: ControllerClient): Promise<void> {
  const request = {
    logPage: LogPage.changedNamespaces,
    nsid: 0xffff_ffff,
    lengthBytes: IDENTIFY_BYTES,
    offset: 0,
    specific: 0,
    retainEvent: false,
  };
  await client.command("reading changed namespaces", (sqe) => encodeGetLogPage(request, sqe), {
    replyBytes: IDENTIFY_BYTES,
  });
}

async function firstNamespace(client: ControllerClient): Promise<number> {
  const bytes = await identify(client, "listing namespaces", Cns.activeNamespaceList, 0);
  const [first] = decodeNamespaceList(bytes);
  if (first !== undefined) return first;
  const { address, subsystemNqn } = client.place;
  throw failure("namespace-unknown", `${subsystemNqn} at ${address} has no namespace`);
}

async function readIdentity(
  client: ControllerClient,
  nsid: number,
  { nguid, eui64 }: IdentifyNamespace,
): Promise<string> {
  const encode = Cns.namespaceDescriptors;
  const { admin } = client;
  if (admin !== null) {
    const answer = await client.ask(admin, (sqe) => encodeIdentify(encode, nsid, 0, sqe), {
      replyBytes: IDENTIFY_BYTES,
    });
    const { uuid } = decodeNamespaceDescriptors(answer.bytes);
    if (answer.status === 0 && uuid !== null) return `uuid.${uuid}`;
  }
  if (!isZero(nguid)) return `nguid.${nguid}`;
  return isZero(eui64) ? "" : `eui.${eui64}`;
}

/** VWC is about the controller; a namespace may say that it has no cache all the same. */
async function isCacheless(client: ControllerClient, nsid: number): Promise<boolean> {
  const { admin } = client;
  if (admin === null) return false;
  const cns = Cns.csiIndependentNamespace;
  const answer = await client.ask(admin, (sqe) => encodeIdentify(cns, nsid, 0, sqe), {
    replyBytes: IDENTIFY_BYTES,
  });
  if (answer.status !== 0) return false;
  const nsfeat = decodeIdentifyIndependentNamespace(answer.bytes)?.nsfeat ?? 0;
  return (nsfeat & IndependentNsfeat.noVolatileCache) !== 0;
}

async function readLimits(client: ControllerClient): Promise<IdentifyNvmController | null> {
  const { admin } = client;
  if (admin === null) return null;
  const { nvm } = CommandSet;
  const encode = Cns.csiController;
  const answer = await client.ask(admin, (sqe) => encodeIdentify(encode, 0, nvm, sqe), {
    replyBytes: IDENTIFY_BYTES,
  });
  return answer.status === 0 ? decodeIdentifyNvmController(answer.bytes) : null;
}

async function readInstance(client: ControllerClient, nsid: number): Promise<string | null> {
  const { admin } = client;
  if (admin === null) return null;
  const answer = await client.ask(admin, (sqe) => encodeInstanceCommand(nsid, sqe), {
    replyBytes: INSTANCE_BYTES,
  });
  return answer.status === 0 ? (decodeInstanceData(answer.bytes)?.instanceId ?? null) : null;
}

async function identify(
  client: ControllerClient,
  what: string,
  cns: number,
  nsid: number,
): Promise<Uint8Array> {
  const { nvm } = CommandSet;
  const { bytes } = await client.command(what, (sqe) => encodeIdentify(cns, nsid, nvm, sqe), {
    replyBytes: IDENTIFY_BYTES,
  });
  return bytes;
}

function unreadable(client: ControllerClient, what: string): Error {
  return failure("controller-error", `${client.place.address}: ${what} cannot be read`);
}

function isZero(digits: string): boolean {
  return /^0*$/.test(digits);
}
