/**
 * `penstock doctor`: what this machine lets Penstock do, and which limits it sets.
 *
 * Reads only. The JSON form is a contract: `DoctorReport`, sizes as numbers of bytes.
 */

import { SHORT_GAP_MS } from "../reactor/adaptive-polling.ts";
import {
  CAPABILITY_TEXTS,
  type Capability,
  LEVEL_CAPABILITIES,
  levelCan,
  REAL_LEVELS,
  type RealLevel,
} from "../reactor/level-capabilities.ts";
import { chooseLevel, type LevelChoice } from "../reactor/open-io.ts";
import { BUFFER_LIMIT_BYTES_DEFAULT } from "../reactor/reactor.ts";
import { type Probe, probeCapabilities } from "../sys/capabilities.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { formatSize } from "../util/size.ts";
import { ExitCode } from "./exit-code.ts";
import { manifest } from "./manifest.ts";
import { type MachineFacts, readMachineFacts } from "./machine-facts.ts";
import { formatValue, type OutputFormat } from "./output.ts";

export interface DoctorReport {
  readonly penstock: string;
  readonly machine: MachineFacts;
  readonly probes: { readonly ffi: Probe; readonly ioUring: Probe };
  /** What was asked for, and what a pipe run would use; null when that is not possible. */
  readonly level: {
    readonly asked: LevelChoice;
    readonly used: RealLevel | null;
    readonly reason: string;
  };
  readonly capabilities: Readonly<Record<RealLevel, readonly Capability[]>>;
  readonly reactor: { readonly spinMsMax: number; readonly bufferLimitBytes: number };
}

export async function runDoctor(options: {
  readonly io: LevelChoice;
  readonly output: OutputFormat;
}): Promise<ExitCode> {
  const report = await examine(options.io);
  const { output } = options;
  process.stdout.write(
    output === "table" ? `${formatTable(report)}\n` : formatValue(report, output),
  );
  return report.level.used === null ? ExitCode.failure : ExitCode.ok;
}

async function examine(asked: LevelChoice): Promise<DoctorReport> {
  return {
    penstock: manifest.version,
    machine: await readMachineFacts(),
    probes: await probeCapabilities(),
    level: { asked, ...(await levelOf(asked)) },
    capabilities: LEVEL_CAPABILITIES,
    reactor: { spinMsMax: SHORT_GAP_MS, bufferLimitBytes: BUFFER_LIMIT_BYTES_DEFAULT },
  };
}

async function levelOf(
  asked: LevelChoice,
): Promise<{ readonly used: RealLevel | null; readonly reason: string }> {
  try {
    return { used: await chooseLevel(asked), reason: "" };
  } catch (thrown) {
    if (thrown instanceof PenstockError) return { used: null, reason: thrown.message };
    throw toPenstockError(thrown);
  }
}

function formatTable(report: DoctorReport): string {
  const { machine, probes, level, reactor } = report;
  const { limits } = machine;
  const rows: (readonly [name: string, value: string])[] = [
    ["penstock", report.penstock],
    ["node", `${machine.node} on ${machine.architecture}`],
    ["kernel", machine.kernel],
    ["processors", String(machine.processors)],
    ["memory", `${formatSize(machine.memoryBytes)}, ${sizeOf(machine.memoryFreeBytes)} available`],
    ["node:ffi", formatProbe(probes.ffi)],
    ["io_uring", formatProbe(probes.ioUring)],
    ["io_uring_disabled", machine.ioUringDisabled ?? "not there"],
    ["open files", `${countOf(limits.openFiles)} (hard ${countOf(limits.openFilesHard)})`],
    ["locked memory", sizeOf(limits.lockedMemoryBytes)],
    ["memory maps", countOf(limits.memoryMaps)],
    ["pipe size", sizeOf(limits.pipeBytes)],
    ["listen backlog", countOf(limits.listenBacklog)],
    ["spin", `up to ${Math.round(reactor.spinMsMax * 1000)} us before sleeping`],
    ["buffers", `${formatSize(reactor.bufferLimitBytes)} per reactor`],
    ["level", level.used === null ? `${level.asked}: ${level.reason}` : level.used],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const facts = rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
  return [...facts, "", ...formatCapabilities()].join("\n");
}

function formatCapabilities(): string[] {
  const names = Object.keys(CAPABILITY_TEXTS) as Capability[];
  const nameWidth = Math.max(...names.map((name) => name.length));
  const levelWidth = Math.max(...REAL_LEVELS.map((level) => level.length)) + 2;
  const head = "capability".padEnd(nameWidth + 2);
  const lines = names.map((name) => {
    const cells = REAL_LEVELS.map((level) => (levelCan(level, name) ? "yes" : "-"));
    const padded = cells.map((cell) => cell.padEnd(levelWidth)).join("");
    return `${name.padEnd(nameWidth + 2)}${padded}${CAPABILITY_TEXTS[name]}`;
  });
  return [
    `${head}${REAL_LEVELS.map((level) => level.padEnd(levelWidth)).join("")}`.trimEnd(),
    ...lines,
  ];
}

function formatProbe(probe: Probe): string {
  return probe.available ? "works" : `not available: ${probe.reason}`;
}

function sizeOf(sizeBytes: number | null): string {
  return sizeBytes === null ? "unlimited" : formatSize(sizeBytes);
}

function countOf(count: number | null): string {
  return count === null ? "unlimited" : String(count);
}
