/**
 * The law of layers, as data, and the check of every import against it.
 *
 * A file of src/ imports its own folder or a lower layer, never a sibling of the same layer. Tests
 * are exempt; nothing else is. ARCHITECTURE.md draws the same table; this one decides.
 *
 *   node tools/layers.ts      prints what breaks the law, exits 1 when anything does
 */

import { dirname, join } from "node:path/posix";
import { type Finding, formatFinding, ROOT, readTree } from "./source-tree.ts";
import type { SourceText } from "./source-text.ts";

/** Layer of each folder of src/. Files directly in src/ (the package's door) are in layer 10. */
export const LAYER_BY_FOLDER: Readonly<Record<string, number>> = {
  util: 0,
  telemetry: 1,
  api: 1,
  sys: 1,
  reactor: 2,
  block: 3,
  proto: 4,
  devices: 5,
  shares: 5,
  pool: 6,
  nexus: 6,
  pipe: 7,
  bench: 8,
  engine: 8,
  library: 8,
  control: 8,
  host: 8,
  csi: 9,
  kube: 9,
  docker: 9,
  copydata: 9,
  cli: 9,
  bin: 10,
  "": 10,
  sim: 11,
  testing: 11,
};

interface ForbiddenRange {
  readonly from: number;
  readonly to: number;
}

/** Folders that must not see some lower layers either. */
export const FORBIDDEN_LAYERS_BY_FOLDER: Readonly<Record<string, ForbiddenRange>> = {
  // The control plane talks to engines by RPC only: it must run where no engine does.
  control: { from: 2, to: 7 },
};

/** Packages that only tests, src/testing and src/sim may import. */
const TEST_ONLY_PACKAGES: ReadonlySet<string> = new Set(["fast-check"]);
const TEST_LAYER = 11;

export function checkLayers(source: SourceText): Finding[] {
  const folder = folderOf(source.path);
  if (folder === undefined || source.isTest) {
    return [];
  }
  const layer = LAYER_BY_FOLDER[folder];
  if (layer === undefined) {
    return [finding(source, 0, `folder src/${folder} has no layer: add it to tools/layers.ts`)];
  }
  const findings: Finding[] = [];
  for (const { offset, specifier } of source.imports) {
    const problem = specifier.startsWith(".")
      ? problemOfFile(source.path, folder, specifier)
      : problemOfPackage(layer, specifier);
    if (problem !== undefined) {
      findings.push(finding(source, offset, problem));
    }
  }
  return findings;
}

function problemOfFile(path: string, folder: string, specifier: string): string | undefined {
  const target = join(dirname(path), specifier);
  const targetFolder = folderOf(target);
  if (targetFolder === undefined) {
    return target.startsWith("package.json") ? undefined : `src/ must not import ${target}`;
  }
  if (target.endsWith(".test.ts")) {
    return `${target} is a test and cannot be imported`;
  }
  if (targetFolder === folder) {
    return undefined;
  }
  const layer = LAYER_BY_FOLDER[folder] ?? 0;
  const targetLayer = LAYER_BY_FOLDER[targetFolder];
  if (targetLayer === undefined) {
    return `folder src/${targetFolder} has no layer: add it to tools/layers.ts`;
  }
  const forbidden = FORBIDDEN_LAYERS_BY_FOLDER[folder];
  const isForbidden =
    forbidden !== undefined && targetLayer >= forbidden.from && targetLayer <= forbidden.to;
  if (targetLayer < layer && !isForbidden) {
    return undefined;
  }
  const importer = `src/${folder} (layer ${layer})`;
  return `${importer} must not import src/${targetFolder} (layer ${targetLayer})`;
}

function problemOfPackage(layer: number, specifier: string): string | undefined {
  return TEST_ONLY_PACKAGES.has(specifier) && layer < TEST_LAYER
    ? `${specifier} is for tests only`
    : undefined;
}

/** Folder of src/ that a path lies in, "" for src/ itself, undefined outside it. */
function folderOf(path: string): string | undefined {
  const parts = path.split("/");
  if (parts[0] !== "src") {
    return undefined;
  }
  return parts.length === 2 ? "" : parts[1];
}

function finding(source: SourceText, offset: number, message: string): Finding {
  return { path: source.path, line: source.lineAt(offset), rule: "layers", message };
}

if (import.meta.main) {
  const findings = readTree(ROOT).flatMap((source) => checkLayers(source));
  for (const each of findings) {
    process.stdout.write(`${formatFinding(each)}\n`);
  }
  process.exitCode = findings.length > 0 ? 1 : 0;
}
