/**
 * The devices and shares of an engine, from the trees of its pipes.
 *
 * Their JSON is a contract, as that of pipe-view.ts is.
 */

import { Code, ConnectError } from "@connectrpc/connect";
import { askEngine } from "../api/engine-client.ts";
import { isFaulted, legHealth } from "../pipe/pipe-graph.ts";
import type { StageListing } from "../pipe/replumb.ts";
import { formatSize } from "../util/size.ts";
import { engineAddressFor } from "./engine-place.ts";
import { type Column, formatTable, formatValue } from "./output.ts";
import type { ListOptions } from "./pipe-client.ts";
import { type PipeDetailView, pipeDetailView } from "./pipe-view.ts";

/** One of `device list -o json`. */
export interface DeviceView {
  readonly pipe: string;
  /** What other commands take: the label, or the place. */
  readonly stage: string;
  readonly place: string;
  readonly kind: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
  /** Another engine may write it, too. */
  readonly shared: boolean;
  readonly inFlight: number;
  /** "ready"; of a mirror's legs what the mirror says: "in-sync", "faulted". */
  readonly state: string;
  /** Since when and why it is faulted, or null. */
  readonly reason: string | null;
  readonly text: string;
}

/** One of `share list -o json`. */
export interface ShareView {
  readonly pipe: string;
  readonly uri: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** What its protocol tells of it: `protocol`, `connections`, a subsystem's `hosts`. */
  readonly details: StageListing["details"];
  /** Canonical text of the stage, with the port that was asked for. */
  readonly text: string;
}

export async function listDevices(options: ListOptions): Promise<void> {
  const devices = (await readyPipes(options)).flatMap(devicesOf);
  process.stdout.write(
    options.output === "table"
      ? formatTable(devices, DEVICE_COLUMNS)
      : formatValue(devices, options.output),
  );
}

export async function listShares(options: ListOptions): Promise<void> {
  const shares = (await readyPipes(options)).flatMap(shareOf);
  process.stdout.write(
    options.output === "table"
      ? formatTable(shares, SHARE_COLUMNS)
      : formatValue(shares, options.output),
  );
}

/** In the order in which they were made. A pipe that goes meanwhile is left out. */
async function readyPipes({ engine }: ListOptions): Promise<readonly PipeDetailView[]> {
  return await askEngine(engineAddressFor(engine), async ({ pipes }) => {
    const views: PipeDetailView[] = [];
    for (const { name } of (await pipes.listPipes({})).pipes) {
      // One after the other: a thousand calls at a time would be as many sockets.
      const answer = await pipes.getPipe({ name }).catch((thrown: unknown) => {
        if (isNotFound(thrown)) return undefined;
        throw thrown;
      });
      if (answer?.tree !== undefined) views.push(pipeDetailView(answer.tree));
    }
    return views.filter(({ stages }) => stages.length > 0);
  });
}

/** The stages of a pipe, legs before what stands on them. */
function devicesOf({ name, stages }: PipeDetailView): readonly DeviceView[] {
  return stages.flatMap((stage) => devicesUnder(name, stage, { state: "ready", reason: "" }));
}

function devicesUnder(
  pipe: string,
  stage: StageListing,
  health: { readonly state: string; readonly reason: string },
): DeviceView[] {
  const { id, place, kind, sizeBytes, blockSizeBytes, readOnly, inFlight, text } = stage;
  const legs = stage.legs.flatMap((leg, index) => {
    const found = legHealth(stage, index);
    // A leg's filters are as well as the leg is.
    const ofLeg = found.state === "" ? { state: "ready", reason: "" } : found;
    return leg.flatMap((each) => devicesUnder(pipe, each, ofLeg));
  });
  const reason = isFaulted(health) && health.reason !== "" ? health.reason : null;
  const shared = stage.details.shared === true;
  const facts = {
    sizeBytes,
    blockSizeBytes,
    readOnly,
    shared,
    inFlight,
    state: health.state,
    reason,
  };
  return [...legs, { pipe, stage: id, place, kind, ...facts, text }];
}

function shareOf({ name, uri, share, shareDetails, stages }: PipeDetailView): ShareView[] {
  const top = stages.at(-1);
  if (top === undefined || uri === null) return [];
  const { sizeBytes, readOnly } = top;
  return [{ pipe: name, uri, sizeBytes, readOnly, details: shareDetails, text: share ?? "" }];
}

function isNotFound(thrown: unknown): boolean {
  return thrown instanceof ConnectError && thrown.code === Code.NotFound;
}

const DEVICE_COLUMNS: readonly Column<DeviceView>[] = [
  { title: "PIPE", text: ({ pipe }) => pipe },
  { title: "STAGE", text: ({ stage }) => stage },
  { title: "KIND", text: ({ kind }) => kind },
  {
    title: "STATE",
    text: ({ state, reason }) => (reason === null ? state : `${state}: ${reason}`),
  },
  { title: "SIZE", text: ({ sizeBytes }) => formatSize(sizeBytes) },
  { title: "BLOCK", text: ({ blockSizeBytes }) => String(blockSizeBytes) },
  {
    title: "MODE",
    text: ({ readOnly, shared }) =>
      `${readOnly ? "read-only" : "read-write"}${shared ? ", shared" : ""}`,
  },
  { title: "IN FLIGHT", align: "right", text: ({ inFlight }) => String(inFlight) },
  { title: "TEXT", text: ({ text }) => text },
];

const SHARE_COLUMNS: readonly Column<ShareView>[] = [
  { title: "PIPE", text: ({ pipe }) => pipe },
  { title: "URI", text: ({ uri }) => uri },
  { title: "SIZE", text: ({ sizeBytes }) => formatSize(sizeBytes) },
  { title: "MODE", text: ({ readOnly }) => (readOnly ? "read-only" : "read-write") },
  { title: "SUBSYSTEM", text: ({ details }) => shown(details.subsystem) },
  { title: "NSID", align: "right", text: ({ details }) => shown(details.nsid) },
  { title: "CONNECTIONS", align: "right", text: ({ details }) => shown(details.connections) },
  { title: "HOSTS", text: ({ details }) => hostsOf(details).map(hostText).join(", ") },
];

/** An NVMe host that is connected. */
interface HostDetails {
  readonly nqn?: unknown;
  readonly controllers?: unknown;
  readonly queues?: unknown;
}

function hostsOf({ hosts }: ShareView["details"]): readonly HostDetails[] {
  return Array.isArray(hosts) ? hosts : [];
}

function hostText({ nqn, queues }: HostDetails): string {
  return `${shown(nqn)} (queues ${shown(queues)})`;
}

function shown(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}
