/**
 * Reads every source file of the tree for the rules of tidy.ts and layers.ts. What a generator
 * wrote (*_pb.ts, by `npm run api`) is not among them.
 */

import { globSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { SourceText } from "./source-text.ts";

/** One thing that is wrong, at one place. */
export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  readonly message: string;
}

const PATTERNS = [
  "src/**/*.ts",
  "tools/**/*.{ts,mjs}",
  "test/**/*.ts",
  "bench/**/*.ts",
  "examples/**/*.ts",
];

export const ROOT = join(import.meta.dirname, "..");

export function readTree(root: string): SourceText[] {
  const paths = globSync(PATTERNS, { cwd: root, exclude: ["**/node_modules/**", "**/*_pb.ts"] });
  return paths
    .map((path) => path.split(sep).join("/"))
    .sort()
    .map((path) => new SourceText(path, readFileSync(join(root, path), "utf8")));
}

export function formatFinding(finding: Finding): string {
  return `${finding.path}:${finding.line} ${finding.rule}: ${finding.message}`;
}
