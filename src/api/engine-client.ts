/**
 * A client of an engine's services, over HTTP/1.1 on a Unix socket or TCP. Holds no connection open
 * between calls of its own accord.
 */

import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { type EngineAddress, formatEngineAddress } from "./engine-address.ts";
import { EngineService, PipeService } from "./penstock/engine/v1/engine_pb.ts";
import { fromRpcError } from "./remote-error.ts";

export interface EngineClient {
  readonly engine: Client<typeof EngineService>;
  readonly pipes: Client<typeof PipeService>;
}

/** Its calls reject with a PenstockError: the engine's own as RemoteError. */
export function engineClient(address: EngineAddress): EngineClient {
  const shown = formatEngineAddress(address);
  const transport = createConnectTransport({
    httpVersion: "1.1",
    baseUrl: address.kind === "unix" ? "http://localhost" : `http://${shown}`,
    nodeOptions: address.kind === "unix" ? { socketPath: address.path } : {},
    interceptors: [ownErrors(shown)],
  });
  return {
    engine: createClient(EngineService, transport),
    pipes: createClient(PipeService, transport),
  };
}

function ownErrors(address: string): Interceptor {
  return (next) => async (request) => {
    try {
      return await next(request);
    } catch (thrown) {
      throw fromRpcError(thrown, address);
    }
  };
}
