/**
 * `GET /metrics` over HTTP/1.1 and HTTP/2: what answers it, on the RPC's addresses and on those
 * that serve nothing else.
 */

import type { RpcHandler } from "./rpc-listener.ts";
import { METRICS_CONTENT_TYPE } from "./metrics-text.ts";

const METRICS_PATH = "/metrics";

const OK = 200;
const NOT_FOUND = 404;
const METHOD_NOT_ALLOWED = 405;
const INTERNAL = 500;

export interface MetricsPage {
  text(): Promise<string>;
  /** An error that is a bug of ours. */
  onBug(stack: string): void;
}

type Request = Parameters<RpcHandler>[0];
type Response = Parameters<RpcHandler>[1];

/** Answers the metrics, and lets `other` answer all else. */
export function withMetrics(page: MetricsPage, other: RpcHandler): RpcHandler {
  return (request, response) => {
    if (pathOf(request) === METRICS_PATH) void answer(page, request, response);
    else other(request, response);
  };
}

/** Answers the metrics and nothing else. */
export function metricsAlone(page: MetricsPage): RpcHandler {
  return withMetrics(page, (_request, response) => {
    end(response, NOT_FOUND, `there is nothing but ${METRICS_PATH} here\n`);
  });
}

async function answer(page: MetricsPage, request: Request, response: Response): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    end(response, METHOD_NOT_ALLOWED, "expected GET\n");
    return;
  }
  try {
    const text = await page.text();
    response.setHeader("Content-Type", METRICS_CONTENT_TYPE);
    end(response, OK, request.method === "HEAD" ? "" : text);
  } catch (thrown) {
    const isError = thrown instanceof Error;
    page.onBug(isError ? (thrown.stack ?? thrown.message) : String(thrown));
    end(response, INTERNAL, "the metrics could not be gathered\n");
  }
}

function end(response: Response, status: number, text: string): void {
  response.statusCode = status;
  // The two kinds of response have this in common.
  (response as { end(text: string): unknown }).end(text);
}

function pathOf({ url = "" }: Request): string {
  return url.replace(/\?.*$/s, "");
}
