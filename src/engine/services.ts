/**
 * The RPC services of an engine: fields are checked, the registry does the work, errors get a code.
 */

import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  EngineService,
  type GetEngineResponseSchema,
  PipeService,
} from "../api/penstock/engine/v1/engine_pb.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { EngineEvent, EngineEvents } from "./engine-event.ts";
import type { EngineStats } from "./engine-stats.ts";
import { eventMessage, pipeMessage, treeMessage } from "./messages.ts";
import type { PipeRegistry } from "./pipe-registry.ts";
import {
  readPipeName,
  readSizeBytes,
  readStageAddress,
  readText,
  readTimeoutMs,
} from "./request-fields.ts";
import { toRpcError } from "./rpc-error.ts";
import { statsMessage } from "./stats-messages.ts";

export interface ServiceParts {
  readonly registry: PipeRegistry;
  readonly events: EngineEvents;
  describe(): MessageInitShape<typeof GetEngineResponseSchema>;
  /** @throws PenstockError `pipe-not-found` */
  gatherStats(pipe: string | undefined): Promise<EngineStats>;
  /** An error that is a bug of ours. */
  onBug(stack: string): void;
}

export function addServices(router: ConnectRouter, parts: ServiceParts): void {
  router.service(PipeService, pipeService(parts));
  router.service(EngineService, engineService(parts));
}

function pipeService({ registry, onBug }: ServiceParts): ServiceImpl<typeof PipeService> {
  const answer = async <T>(step: () => Promise<T>): Promise<T> => {
    try {
      return await step();
    } catch (thrown) {
      throw toRpcError(thrown, onBug);
    }
  };
  return {
    createPipe: ({ name, text }) =>
      answer(async () => {
        const pipe = await registry.create(readPipeName("name", name), readText("text", text));
        return { pipe: pipeMessage(pipe) };
      }),
    listPipes: () => answer(async () => ({ pipes: registry.list().map(pipeMessage) })),
    getPipe: ({ name }) =>
      answer(async () => ({ tree: treeMessage(await registry.get(readPipeName("name", name))) })),
    deletePipe: ({ name }) =>
      answer(async () => {
        await registry.delete(readPipeName("name", name));
        return {};
      }),
    insertStage: ({ pipe, text, above, timeoutMs }) =>
      answer(async () => {
        const changed = await registry.insertStage(readPipeName("pipe", pipe), {
          text: readText("text", text),
          ...(above === undefined ? {} : { above: readStageAddress("above", above) }),
          ...timeoutOf(timeoutMs),
        });
        return { tree: treeMessage(changed) };
      }),
    removeStage: ({ pipe, stage, timeoutMs }) =>
      answer(async () => {
        const changed = await registry.removeStage(readPipeName("pipe", pipe), {
          stage: readStageAddress("stage", stage),
          ...timeoutOf(timeoutMs),
        });
        return { tree: treeMessage(changed) };
      }),
    resizePipe: ({ pipe, sizeBytes }) =>
      answer(async () => {
        const name = readPipeName("pipe", pipe);
        const resized = await registry.resize(name, readSizeBytes("size_bytes", sizeBytes));
        return { tree: treeMessage(resized) };
      }),
    changeStage: ({ pipe, stage, text }) =>
      answer(async () => {
        const changed = await registry.changeStage(readPipeName("pipe", pipe), {
          stage: readStageAddress("stage", stage),
          text: readText("text", text),
        });
        return { tree: treeMessage(changed) };
      }),
  };
}

function engineService(parts: ServiceParts): ServiceImpl<typeof EngineService> {
  return {
    getEngine: () => parts.describe(),
    getStats: async ({ pipe }) => {
      try {
        const name = pipe === undefined ? undefined : readPipeName("pipe", pipe);
        return statsMessage(await parts.gatherStats(name));
      } catch (thrown) {
        throw toRpcError(thrown, parts.onBug);
      }
    },
    watchEvents: ({ follow }, context) => watch(parts, follow, context),
  };
}

async function* watch(
  { events, onBug }: ServiceParts,
  follow: boolean,
  { signal }: HandlerContext,
): AsyncGenerator<{ event: ReturnType<typeof eventMessage> }> {
  try {
    const source: Iterable<EngineEvent> | AsyncIterable<EngineEvent> = follow
      ? events.watch(signal)
      : [...events.kept];
    for await (const event of source) yield { event: eventMessage(event) };
  } catch (thrown) {
    throw toRpcError(thrown, onBug);
  }
}

function timeoutOf(timeoutMs: number | undefined): { readonly timeoutMs?: number } {
  return timeoutMs === undefined ? {} : { timeoutMs: readTimeoutMs("timeout_ms", timeoutMs) };
}
