/**
 * What a pipe's drawings are made from, and what they say alike. Pure.
 */

import { formatSize } from "../util/size.ts";
import type { StageListing } from "./replumb.ts";

export interface PipeGraph {
  readonly name: string;
  /** "ready", "failed", ... */
  readonly state: string;
  /** Source first; empty unless the pipe is open. */
  readonly stages: readonly StageListing[];
  /** Canonical text of the share's stage, or what clients connect to. */
  readonly share: string;
  /** The pipe's canonical text. */
  readonly text: string;
  /** Why it is not open, or "". */
  readonly failure: string;
}

/** What a mirror knows of a leg. */
export interface LegHealth {
  /** "in-sync", "faulted"; "" when the stage says nothing of its legs. */
  readonly state: string;
  /** Why and when it was taken out, or "". */
  readonly reason: string;
}

/** From the `children` of a stage's details, one for each leg. */
export function legHealth(stage: StageListing, leg: number): LegHealth {
  const { children } = stage.details;
  const child: unknown = Array.isArray(children) ? children[leg] : undefined;
  if (!isRecord(child) || typeof child.state !== "string") return { state: "", reason: "" };
  const { fault } = child;
  if (!isRecord(fault)) return { state: child.state, reason: "" };
  const words = [fault.time, fault.reason].filter((word) => typeof word === "string");
  return { state: child.state, reason: words.join(" ") };
}

/** A leg in this state takes no part. */
export function isFaulted({ state }: LegHealth): boolean {
  return state !== "" && state !== "in-sync";
}

/** "10GiB, read-only, 3 in flight". */
export function stageFacts(stage: StageListing): string {
  const { sizeBytes, readOnly, inFlight } = stage;
  const facts = [formatSize(sizeBytes)];
  if (readOnly) facts.push("read-only");
  if (inFlight > 0) facts.push(`${inFlight} in flight`);
  return facts.join(", ");
}

/** Without what no terminal and no XML should get. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffe\uffff]/gu, "?");
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
