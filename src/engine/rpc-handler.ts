/**
 * The services of a router as a handler of HTTP requests, of either version. As connectNodeAdapter,
 * but a client that goes in the middle of an answer is no news: nothing is printed. Stateless.
 */

import {
  Code,
  ConnectError,
  type ConnectRouter,
  type ConnectRouterOptions,
  createConnectRouter,
} from "@connectrpc/connect";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { RpcHandler } from "./rpc-listener.ts";

const NOT_FOUND = 404;

export interface RpcHandlerOptions extends ConnectRouterOptions {
  /** Adds the services. */
  routes(router: ConnectRouter): void;
  /** An error that is a bug of ours. */
  onBug(stack: string): void;
}

export function rpcHandler({ routes, onBug, ...options }: RpcHandlerOptions): RpcHandler {
  const acceptCompression = [compressionGzip, compressionBrotli];
  const router = createConnectRouter({ acceptCompression, ...options });
  routes(router);
  const handlers = new Map(router.handlers.map((each) => [each.requestPath, each]));
  return (request, response) => {
    const handler = handlers.get(request.url?.split("?", 2)[0] ?? "");
    if (handler === undefined) {
      response.writeHead(NOT_FOUND);
      response.end();
      return;
    }
    const asked = universalRequestFromNodeRequest(request, response, undefined, undefined);
    handler(asked)
      .then((answer) => universalResponseToNodeResponse(answer, response))
      .catch((thrown: unknown) => {
        const error = ConnectError.from(thrown);
        if (error.code === Code.Aborted || isOfConnection(error.cause)) return;
        onBug(error.stack ?? error.message);
      });
  };
}

/** Node gives what the system and its streams refuse a code. */
function isOfConnection(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && /^E[A-Z]/.test(String(cause.code));
}
