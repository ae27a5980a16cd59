/**
 * The metrics of an engine in the text format of Prometheus, made anew for each scrape out of the
 * stats: nothing is kept here, so what is gone from the stats is gone from the text.
 */

import { setImmediate as nextRound } from "node:timers/promises";
import { type Metric, Registry } from "prom-client";
import { type HistogramSnapshot, snapshotBelow } from "../util/histogram-snapshot.ts";
import {
  type MetricDefinition,
  type MetricLabels,
  METRICS,
  type MetricsSource,
} from "./metrics-catalogue.ts";

export const METRICS_CONTENT_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE;

const NS_PER_SECOND = 1e9;

/**
 * Powers of two of nanoseconds, where buckets of our histograms begin, so that counts are exact:
 * each up to 17 ms, then every second one up to 17 s.
 */
const FINE = Array.from({ length: 11 }, (_, index) => 2 ** (14 + index));
const COARSE = Array.from({ length: 5 }, (_, index) => 2 ** (26 + 2 * index));
export const LATENCY_BOUNDS_NS: readonly number[] = [...FINE, ...COARSE];

export async function metricsText(source: MetricsSource): Promise<string> {
  const registry = new Registry();
  const texts: string[] = [];
  for (const definition of METRICS) {
    registry.registerMetric(metricOf(definition, source));
    texts.push(await registry.getSingleMetricAsString(definition.name));
    // A thousand pipes are a second of work: calls and events get in between.
    await nextRound();
  }
  return `${texts.join("\n\n")}\n`;
}

interface Line {
  readonly labels: MetricLabels;
  readonly value: number;
  readonly metricName?: string;
}

/** What a registry needs of a metric. Its own kinds count by themselves; ours are counted. */
function metricOf(definition: MetricDefinition, source: MetricsSource): Metric {
  const { name, help, type } = definition;
  const get = async (): Promise<object> => {
    const values = [...linesOf(definition, source)];
    return { name, help, type, aggregator: "sum", values };
  };
  return { name, get } as unknown as Metric;
}

function* linesOf(definition: MetricDefinition, source: MetricsSource): Generator<Line> {
  for (const { labels, value } of definition.samples(source)) {
    if (typeof value === "number") yield { labels, value };
    // One without values says nothing, in seventeen lines.
    else if (value.count > 0) yield* histogramLines(definition.name, labels, value);
  }
}

function* histogramLines(
  name: string,
  labels: MetricLabels,
  snapshot: HistogramSnapshot,
): Generator<Line> {
  const metricName = `${name}_bucket`;
  for (const bound of LATENCY_BOUNDS_NS) {
    const le = bound / NS_PER_SECOND;
    yield { metricName, labels: { ...labels, le }, value: snapshotBelow(snapshot, bound) };
  }
  const { count, sum } = snapshot;
  yield { metricName, labels: { ...labels, le: "+Inf" }, value: count };
  yield { metricName: `${name}_sum`, labels, value: sum / NS_PER_SECOND };
  yield { metricName: `${name}_count`, labels, value: count };
}
