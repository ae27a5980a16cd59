/**
 * Pipes and events as the command line shows them: from the RPC's messages to its own JSON.
 *
 * The schema is a contract; README.md names it. Pure.
 */

import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type Event,
  EventLevel,
  type GetEngineResponse,
  type Pipe,
  PipeState,
  type PipeTree,
  type Stage,
} from "../api/penstock/engine/v1/engine_pb.ts";
import type { PipeGraph } from "../pipe/pipe-graph.ts";
import type { StageListing } from "../pipe/replumb.ts";

/** One of `pipe list -o json`. */
export interface PipeView {
  readonly name: string;
  readonly state: string;
  /** What clients connect to, or null: not ready. */
  readonly uri: string | null;
  readonly text: string;
  readonly createdAt: string | null;
  readonly failure: { readonly code: string; readonly message: string } | null;
  readonly retryAt: string | null;
}

/** `pipe show -o json`. */
export interface PipeDetailView extends PipeView {
  readonly share: string | null;
  /** What the share tells of itself. */
  readonly shareDetails: StageListing["details"];
  /** Source first. */
  readonly stages: readonly StageListing[];
}

export function pipeView(pipe: Pipe): PipeView {
  const { name, text, uri, failure } = pipe;
  return {
    name,
    state: lowerCase(PipeState, pipe.state),
    uri: uri === "" ? null : uri,
    text,
    createdAt: timeText(pipe.createTime),
    failure: failure === undefined ? null : { code: failure.code, message: failure.message },
    retryAt: timeText(pipe.retryTime),
  };
}

export function pipeDetailView(tree: PipeTree): PipeDetailView {
  const { pipe, stages, shareText, shareDetails } = tree;
  if (pipe === undefined) throw new TypeError("the engine answered without a pipe");
  return {
    ...pipeView(pipe),
    share: shareText === "" ? null : shareText,
    shareDetails: shareDetails ?? {},
    stages: stages.map(stageView),
  };
}

export function pipeGraph(view: PipeDetailView): PipeGraph {
  const { name, state, stages, text, failure } = view;
  return {
    name,
    state,
    stages,
    text,
    // With the real port.
    share: view.uri ?? view.share ?? "",
    failure: failure === null ? "" : `${failure.code}: ${failure.message}`,
  };
}

/** `engine show -o json`. */
export function engineView(engine: GetEngineResponse): Readonly<Record<string, unknown>> {
  const { version, level, reactors, startTime, uptimeMs, processId, dataDir, listen } = engine;
  const { pipesReady, pipesFailed, pipesOther } = engine;
  return {
    version,
    level,
    reactors,
    startedAt: timeText(startTime),
    uptimeMs: Number(uptimeMs),
    processId,
    dataDir,
    listen,
    pipes: { ready: pipesReady, failed: pipesFailed, other: pipesOther },
  };
}

/** One line of `events -o json`. */
export interface EventView {
  readonly sequence: number;
  readonly time: string | null;
  readonly level: string;
  readonly code: string;
  readonly pipe: string | null;
  readonly stage: string | null;
  readonly pool: string | null;
  readonly message: string;
}

export function eventView(event: Event): EventView {
  const { sequence, time, level, code, pipe, stage, pool, message } = event;
  return {
    sequence: Number(sequence),
    time: timeText(time),
    level: lowerCase(EventLevel, level),
    code,
    pipe: pipe === "" ? null : pipe,
    stage: stage === "" ? null : stage,
    pool: pool === "" ? null : pool,
    message,
  };
}

function stageView(stage: Stage): StageListing {
  const { id, place, label, kind, text, sizeBytes, blockSizeBytes } = stage;
  const { readOnly, inFlight, fixedBecause, details, legs } = stage;
  return {
    id,
    place,
    label: label ?? null,
    kind,
    text,
    sizeBytes: Number(sizeBytes),
    blockSizeBytes,
    readOnly,
    inFlight,
    fixedBecause: fixedBecause ?? null,
    details: details ?? {},
    legs: legs.map((leg) => leg.stages.map(stageView)),
  };
}

/** RFC 3339, or null. */
export function timeText(time: Timestamp | undefined): string | null {
  return time === undefined ? null : new Date(timestampMs(time)).toISOString();
}

/** A state that is newer than this program is shown by its number. */
export function lowerCase(names: Readonly<Record<string, unknown>>, value: number): string {
  const found = Object.entries(names).find(([, each]) => each === value);
  return found === undefined ? `state-${value}` : found[0].toLowerCase();
}
