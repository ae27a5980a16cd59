/**
 * The engine's own values as messages of its API. Pure.
 */

import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  EventLevel,
  type EventSchema,
  type LegSchema,
  type PipeSchema,
  PipeState,
  type PipeTree,
  PipeTreeSchema,
  type StageSchema,
} from "../api/penstock/engine/v1/engine_pb.ts";
import type { StageListing } from "../pipe/replumb.ts";
import type { EngineEvent } from "./engine-event.ts";
import type { EntryState } from "./pipe-entry.ts";
import type { ListedPipe, PipeWithStages } from "./pipe-registry.ts";

const STATES: Readonly<Record<EntryState, PipeState>> = {
  opening: PipeState.OPENING,
  ready: PipeState.READY,
  failed: PipeState.FAILED,
  closing: PipeState.CLOSING,
};

const LEVELS: Readonly<Record<EngineEvent["level"], EventLevel>> = {
  info: EventLevel.INFO,
  warning: EventLevel.WARNING,
  error: EventLevel.ERROR,
};

export function pipeStateMessage(state: EntryState): PipeState {
  return STATES[state];
}

export function pipeMessage(pipe: ListedPipe): MessageInitShape<typeof PipeSchema> {
  const { name, text, uri, failure, createdMs, retryAtMs } = pipe;
  return {
    name,
    text,
    uri,
    state: STATES[pipe.state],
    ...(createdMs === 0 ? {} : { createTime: time(createdMs) }),
    ...(failure === null ? {} : { failure: { code: failure.code, message: failure.message } }),
    ...(retryAtMs === null ? {} : { retryTime: time(retryAtMs) }),
  };
}

export function treeMessage({ pipe, tree }: PipeWithStages): PipeTree {
  return create(PipeTreeSchema, {
    pipe: pipeMessage(pipe),
    stages: (tree?.stages ?? []).map(stageMessage),
    shareText: tree?.shareText ?? "",
    ...(tree === null ? {} : { shareDetails: plainDetails(tree.shareDetails) }),
  });
}

export function eventMessage(event: EngineEvent): MessageInitShape<typeof EventSchema> {
  const { sequence, timeMs, level, code, pipe, stage, pool, message } = event;
  return {
    sequence: BigInt(sequence),
    time: time(timeMs),
    level: LEVELS[level],
    code,
    pipe,
    stage,
    pool,
    message,
  };
}

export function time(ms: number): Timestamp {
  return timestampFromMs(Math.floor(ms));
}

function stageMessage(stage: StageListing): MessageInitShape<typeof StageSchema> {
  const { id, place, label, kind, text, sizeBytes, blockSizeBytes } = stage;
  const { readOnly, inFlight, fixedBecause, details, legs } = stage;
  return {
    id,
    place,
    kind,
    text,
    sizeBytes: BigInt(sizeBytes),
    blockSizeBytes,
    readOnly,
    inFlight,
    details: plainDetails(details),
    legs: legs.map(legMessage),
    ...(label === null ? {} : { label }),
    ...(fixedBecause === null ? {} : { fixedBecause }),
  };
}

/** What JSON can say of it: infinite numbers are null, what is undefined is not there. */
function plainDetails(details: StageListing["details"]): JsonObject {
  return JSON.parse(JSON.stringify(details)) as JsonObject;
}

function legMessage(stages: readonly StageListing[]): MessageInitShape<typeof LegSchema> {
  return { stages: stages.map(stageMessage) };
}
