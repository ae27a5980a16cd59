/**
 * The metrics of an engine's pools and replicas: part of the one list in metrics-catalogue.ts.
 * Pure.
 *
 * A pool that is not open has a state and nothing else; one that has not answered in time has what
 * it said last. What clients do with a replica is counted by the pipe that serves it.
 */

import type { PoolListing, VersionCounts } from "../pipe/pool-protocol.ts";
import type { PoolInfo, VolumeInfo } from "../pool/pool-info.ts";
import type { MetricDefinition, MetricLabels, MetricSample } from "./metrics-catalogue.ts";
import type { ListedPool } from "./pool-registry.ts";

const STATES = [
  "opening",
  "online",
  "degraded",
  "faulted",
  "failed",
  "closing",
  "stalled",
] as const;
type State = (typeof STATES)[number];

const PERCENT = 100;

export const POOL_METRICS: readonly MetricDefinition[] = [
  {
    name: "penstock_pools",
    type: "gauge",
    help: "Pools by state",
    labels: ["state"],
    *samples({ pools }) {
      for (const state of STATES) {
        yield { labels: { state }, value: pools.filter((pool) => stateOf(pool) === state).length };
      }
    },
  },
  {
    name: "penstock_pool_online",
    type: "gauge",
    help: "1: it works as it should; 0: not",
    labels: ["pool"],
    *samples({ pools }) {
      for (const pool of pools) {
        const value = stateOf(pool) === "online" ? 1 : 0;
        yield { labels: { pool: pool.entry.name }, value };
      }
    },
  },
  ofPool("capacity_bytes", "What its replicas can hold", (info) => info.capacityBytes),
  ofPool("used_bytes", "Of that, what they hold", (info) => info.usedBytes),
  ofPool("reserved_bytes", "What thick replicas may still write", (info) => info.reservedBytes),
  ofPool("committed_bytes", "Sizes of all its replicas", (info) => info.committedBytes),
  ofPool("free_bytes", "Neither used nor reserved", (info) => info.freeBytes),
  ofPool("waiting_bytes", "Freed, and not usable again yet", (info) => info.waitingBytes),
  ofPool("page_bytes", "Of its maps, both copies", (info) => info.pageBytes),
  ofPool("log_bytes", "Of its log", (info) => info.logBytes),
  ofPool("log_used_bytes", "Of that, what a restart would read again", (info) => {
    return info.logUsedBytes;
  }),
  ofPool("checkpoints_total", "Checkpoints since it was opened", (info) => info.checkpoints),
  ofPool("warning_bytes", "Used bytes at which pool-space-warning comes; 0: never", (info) => {
    return thresholdOf(info, info.warnPercent);
  }),
  ofPool("critical_bytes", "Used bytes at which pool-space-critical comes; 0: never", (info) => {
    return thresholdOf(info, info.criticalPercent);
  }),
  ofPool("scrub_running", "1: a scrub runs", (_, scrub) => (scrub?.state === "running" ? 1 : 0)),
  ofPool("scrub_done_bytes", "Read by this scrub, or the last one", (_, scrub) => {
    return scrub?.doneBytes ?? 0;
  }),
  ofPool("scrub_total_bytes", "What that scrub has to read", (_, scrub) => scrub?.totalBytes ?? 0),
  ofPool("scrub_damaged_blocks", "Damaged blocks that it has found", (_, scrub) => {
    return scrub?.damagedCount ?? 0;
  }),
  ofPool("scrub_bad_copies", "Bad copies of metadata that it has found", (_, scrub) => {
    return scrub?.badCopies ?? 0;
  }),
  ofVersions("snapshots", "Snapshots", ({ snapshots }) => snapshots),
  ofVersions(
    "deleting",
    "Replicas and snapshots that are deleted and still hold space",
    ({ deleting }) => deleting,
  ),
  ofVersions("sends", "Sends that run", ({ sends }) => sends),
  ofVersions("receives", "Receives that run", ({ receives }) => receives),
  ofVersions("flattens", "Flattens that run", ({ flattens }) => flattens),
  ofVersions("sent_bytes_total", "Data that was sent, before compression", ({ sentBytes }) => {
    return sentBytes;
  }),
  ofVersions("received_bytes_total", "Data that was received, unpacked", ({ receivedBytes }) => {
    return receivedBytes;
  }),
  ofDisk("size_bytes", "What of the disk is the pool's", ({ sizeBytes }) => sizeBytes),
  ofDisk("free_bytes", "Of that, what nobody uses", ({ freeBytes }) => freeBytes),
  ofReplica("size_bytes", "Its size", ({ sizeBytes }) => sizeBytes),
  ofReplica("used_bytes", "What it holds", ({ usedBytes }) => usedBytes),
  ofReplica("snapshots", "How many it has", ({ snapshots }) => snapshots),
];

function stateOf({ entry, listing, isStalled = false }: ListedPool): State {
  if (isStalled) return "stalled";
  if (listing !== null) return listing.info.state;
  // Closed at the very moment when it was asked.
  return entry.state === "open" ? "closing" : entry.state;
}

function thresholdOf({ capacityBytes }: PoolInfo, percent: number): number {
  return Math.ceil((capacityBytes * percent) / PERCENT);
}

function* eachOpen(pools: readonly ListedPool[]): Iterable<[string, PoolListing]> {
  for (const { entry, listing } of pools) if (listing !== null) yield [entry.name, listing];
}

function ofPool(
  name: string,
  help: string,
  value: (info: PoolInfo, scrub: PoolListing["scrub"]) => number,
): MetricDefinition {
  return {
    name: `penstock_pool_${name}`,
    type: name.endsWith("_total") ? "counter" : "gauge",
    help,
    labels: ["pool"],
    *samples({ pools }) {
      for (const [pool, { info, scrub }] of eachOpen(pools)) {
        yield { labels: { pool }, value: value(info, scrub) };
      }
    },
  };
}

function ofVersions(
  name: string,
  help: string,
  value: (counts: VersionCounts) => number,
): MetricDefinition {
  return {
    name: `penstock_pool_${name}`,
    type: name.endsWith("_total") ? "counter" : "gauge",
    help,
    labels: ["pool"],
    *samples({ pools }) {
      for (const [pool, { versions }] of eachOpen(pools)) {
        yield { labels: { pool }, value: value(versions) };
      }
    },
  };
}

function ofDisk(
  name: string,
  help: string,
  value: (disk: PoolInfo["disks"][number]) => number,
): MetricDefinition {
  return ofEach(`penstock_pool_disk_${name}`, help, "disk", function* ({ info }) {
    for (const disk of info.disks) yield { labels: { disk: disk.name }, value: value(disk) };
  });
}

function ofReplica(
  name: string,
  help: string,
  value: (volume: VolumeInfo) => number,
): MetricDefinition {
  return ofEach(`penstock_replica_${name}`, help, "replica", function* ({ volumes }) {
    for (const volume of volumes) {
      // Its name may be another one's by now.
      if (volume.state !== "ready") continue;
      yield { labels: { replica: volume.name }, value: value(volume) };
    }
  });
}

function ofEach(
  name: string,
  help: string,
  label: string,
  samples: (listing: PoolListing) => Iterable<MetricSample>,
): MetricDefinition {
  return {
    name,
    type: "gauge",
    help,
    labels: ["pool", label],
    *samples({ pools }) {
      for (const [pool, listing] of eachOpen(pools)) {
        for (const { labels, value } of samples(listing)) {
          const all: MetricLabels = { pool, ...labels };
          yield { labels: all, value };
        }
      }
    },
  };
}
