/**
 * discover: asks a discovery controller which subsystems there are, and where.
 *
 *   connect --> header (how many, which generation) --> entries, in pieces --> header again
 *      (another generation by now: once more) --> disconnect
 *
 * spec: NVMe Base 2.0 3.1.2.3 "Discovery controller", 5.16.1.23 "Discovery log page"
 */

import { encodeGetLogPage } from "../../proto/nvme/admin-commands.ts";
import { LogPage } from "../../proto/nvme/constants.ts";
import {
  decodeDiscoveryEntry,
  decodeDiscoveryHeader,
  DISCOVERY_ENTRY_BYTES,
  DISCOVERY_HEADER_BYTES,
  type DiscoveryEntry,
  type DiscoveryHeader,
  type DiscoveryLog,
} from "../../proto/nvme/log-discovery.ts";
import { DISCOVERY_NQN, nqnOfUuid } from "../../proto/nvme/nqn.ts";
import type { CapsuleBank } from "../../proto/nvme-tcp/initiator-bank.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { ControllerClient } from "./controller-client.ts";
import { failure } from "./controller-failure.ts";

export interface DiscoverOptions {
  readonly address: SocketAddress;
  /** UUID that discovery controllers know the host by. */
  readonly hostId: string;
  /** Default: made from the host id. */
  readonly hostNqn?: string;
  /** A discovery subsystem with a name of its own; default: the well-known one. */
  readonly subsystemNqn?: string;
  readonly headerDigest?: boolean;
  readonly dataDigest?: boolean;
  /** For connecting, and again for all of the rest; default 2 s. */
  readonly connectTimeoutMs?: number;
}

const CONNECT_MS = 2000;
/** Entries of one Get Log Page: an answer of a page, which every controller can give. */
const ENTRIES_PER_READ = 4;
/** More than any fabric has; a page that never ends is not read. */
const ENTRIES_MAX = 16_384;
const GENERATIONS_MAX = 10;

/**
 * @throws PenstockError of `ControllerClient.connect`, `controller-error` (a page that cannot be
 *   read), `connection-timeout`
 */
export async function discover(reactor: Reactor, options: DiscoverOptions): Promise<DiscoveryLog> {
  const { address, hostId } = options;
  const connectMsMax = options.connectTimeoutMs ?? CONNECT_MS;
  const banks: CapsuleBank[] = [];
  const client = new ControllerClient(
    {
      reactor,
      address,
      subsystemNqn: options.subsystemNqn ?? DISCOVERY_NQN,
      hostNqn: options.hostNqn ?? nqnOfUuid(hostId),
      hostId,
      headerDigest: options.headerDigest === true,
      dataDigest: options.dataDigest === true,
      connectMsMax,
      keepAliveMs: 0,
      banks,
    },
    // There are no I/O queues, and the admin queue's end is an error of the question under way.
    { connected: ignore, ended: ignore, failing: ignore, closed: ignore },
  );
  const timer = reactor.clock.startTimer(2 * connectMsMax, () => {
    const message = `it has not answered within ${2 * connectMsMax} ms`;
    client.fail({ isFinal: false, code: "connection-timeout", message });
  });
  try {
    await client.connect(new AbortController().signal);
    return await readLog(client);
  } finally {
    timer.cancel();
    await client.disconnect();
    for (const bank of banks) bank.release();
  }
}

async function readLog(client: ControllerClient): Promise<DiscoveryLog> {
  for (let tries = 0; tries < GENERATIONS_MAX; tries++) {
    const { generation, records } = await readHeader(client);
    const entries: DiscoveryEntry[] = [];
    while (entries.length < records) {
      const count = Math.min(ENTRIES_PER_READ, records - entries.length);
      const offset = DISCOVERY_HEADER_BYTES + entries.length * DISCOVERY_ENTRY_BYTES;
      const bytes = await readPage(client, offset, count * DISCOVERY_ENTRY_BYTES);
      for (let index = 0; index < count; index++) {
        const entry = decodeDiscoveryEntry(bytes, index * DISCOVERY_ENTRY_BYTES);
        if (entry !== null) entries.push(entry);
      }
    }
    if ((await readHeader(client)).generation === generation) return { generation, entries };
  }
  const text = `${client.place.address}: the discovery log page changes all the time`;
  throw failure("controller-error", text, true);
}

async function readHeader(client: ControllerClient): Promise<DiscoveryHeader> {
  const header = decodeDiscoveryHeader(await readPage(client, 0, DISCOVERY_HEADER_BYTES));
  if (header !== null && header.recordFormat === 0 && header.records <= ENTRIES_MAX) return header;
  const { address } = client.place;
  const text =
    header === null || header.recordFormat !== 0
      ? `${address}: the discovery log page has an unknown format`
      : `${address}: a discovery log page of ${header.records} entries, more than ${ENTRIES_MAX}`;
  throw failure("controller-error", text);
}

async function readPage(
  client: ControllerClient,
  offset: number,
  lengthBytes: number,
): Promise<Uint8Array> {
  const logPage = LogPage.discovery;
  const request = { logPage, nsid: 0, lengthBytes, offset, specific: 0, retainEvent: false };
  const encode = encodeGetLogPage.bind(null, request);
  const data = { replyBytes: lengthBytes };
  return (await client.command("reading the discovery log page", encode, data)).bytes;
}

function ignore(): void {
  // See `discover`.
}
