/**
 * `penstock nvme discover`: asks an NVMe/TCP server what it has, and prints it.
 *
 * Its JSON is a contract, as that of pipe-view.ts is.
 */

import { randomUUID } from "node:crypto";
import { discover } from "../devices/nvmf/discover.ts";
import { planDiscovery } from "../pipe/sources/nvmf-discovery.ts";
import {
  AddressFamily,
  type DiscoveryEntry,
  type DiscoveryLog,
  SubsystemType,
  TransportType,
} from "../proto/nvme/log-discovery.ts";
import { IoLevel } from "../reactor/io.ts";
import { openIo } from "../reactor/open-io.ts";
import { Reactor } from "../reactor/reactor.ts";
import { type Column, formatTable, formatValue, type OutputFormat } from "./output.ts";

/** `nvme discover -o json`. */
interface DiscoveryView {
  /** Changes with the entries. */
  readonly generation: number;
  readonly entries: readonly EntryView[];
}

interface EntryView {
  readonly subsystem: string;
  /** "nvm", "referral", "discovery", or the number of another type. */
  readonly type: string;
  /** "tcp", "rdma", ..., or the number of another one. */
  readonly transport: string;
  /** "ipv4", "ipv6", ..., or the number of another one. */
  readonly family: string;
  readonly address: string;
  /** The port, where the transport has any. */
  readonly service: string;
  readonly portId: number;
  /** What a Penstock pipe uses it by, or null: not over TCP, or no subsystem with namespaces. */
  readonly uri: string | null;
}

export async function discoverSubsystems(
  text: string,
  { output }: { readonly output: OutputFormat },
): Promise<void> {
  const options = planDiscovery(text, randomUUID());
  const io = await openIo({ level: IoLevel.portable });
  try {
    const view = viewOf(await discover(new Reactor({ id: 0, io }), options));
    process.stdout.write(
      output === "table" ? formatTable(view.entries, COLUMNS) : formatValue(view, output),
    );
  } finally {
    await io.close();
  }
}

function viewOf({ generation, entries }: DiscoveryLog): DiscoveryView {
  return { generation, entries: entries.map(entryView) };
}

function entryView(entry: DiscoveryEntry): EntryView {
  const { subsystemNqn, address, serviceId, portId } = entry;
  const type = nameOf(SUBSYSTEM_TYPES, entry.subsystemType);
  const transport = nameOf(TransportType, entry.transportType);
  const host = address.includes(":") ? `[${address}]` : address;
  const isUsable = type === "nvm" && transport === "tcp";
  return {
    subsystem: subsystemNqn,
    type,
    transport,
    family: nameOf(AddressFamily, entry.addressFamily),
    address,
    service: serviceId,
    portId,
    uri: isUsable ? `nvmf://${host}:${serviceId}/${subsystemNqn}` : null,
  };
}

const SUBSYSTEM_TYPES = {
  referral: SubsystemType.referral,
  nvm: SubsystemType.nvm,
  discovery: SubsystemType.current,
} as const;

function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  const found = Object.entries(names).find(([, each]) => each === value);
  return found === undefined ? String(value) : found[0];
}

const COLUMNS: readonly Column<EntryView>[] = [
  { title: "SUBSYSTEM", text: ({ subsystem }) => subsystem },
  { title: "TYPE", text: ({ type }) => type },
  { title: "TRANSPORT", text: ({ transport, family }) => `${transport} ${family}` },
  { title: "ADDRESS", text: ({ address }) => address },
  { title: "PORT", align: "right", text: ({ service }) => service },
];
