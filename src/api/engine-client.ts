/**
 * A client of an engine's services, over HTTP/1.1 on a Unix socket or TCP. Holds no connection open
 * between calls of its own accord.
 */

import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { type EngineAddress, formatEngineAddress } from "./engine-address.ts";
import { EngineService, PipeService } from "./penstock/engine/v1/engine_pb.ts";
import { DeviceService, PoolService, ReplicaService } from "./penstock/engine/v1/pool_pb.ts";
import { fromRpcError } from "./rpc-failure.ts";

export interface EngineClient {
  readonly engine: Client<typeof EngineService>;
  readonly pipes: Client<typeof PipeService>;
  readonly pools: Client<typeof PoolService>;
  readonly replicas: Client<typeof ReplicaService>;
  readonly devices: Client<typeof DeviceService>;
}

/**
 * Makes one call, or several.
 * @throws PenstockError: the engine's own as RemoteError
 */
export async function askEngine<T>(
  address: EngineAddress,
  call: (client: EngineClient) => Promise<T>,
): Promise<T> {
  try {
    return await call(engineClient(address));
  } catch (thrown) {
    throw fromRpcError(thrown, formatEngineAddress(address));
  }
}

function engineClient(address: EngineAddress): EngineClient {
  const transport = createConnectTransport({
    httpVersion: "1.1",
    baseUrl:
      address.kind === "unix" ? "http://localhost" : `http://${formatEngineAddress(address)}`,
    nodeOptions: address.kind === "unix" ? { socketPath: address.path } : {},
  });
  return {
    engine: createClient(EngineService, transport),
    pipes: createClient(PipeService, transport),
    pools: createClient(PoolService, transport),
    replicas: createClient(ReplicaService, transport),
    devices: createClient(DeviceService, transport),
  };
}
