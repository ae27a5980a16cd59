// Tests of the law of layers: small bad samples are caught, good ones pass, the tree obeys.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkLayers, LAYER_BY_FOLDER } from "./layers.ts";
import { formatFinding, ROOT, readTree } from "./source-tree.ts";
import { SourceText } from "./source-text.ts";

const problems = (path: string, text: string): string[] =>
  checkLayers(new SourceText(path, text)).map(({ message }) => message);

test("checkLayers passes when a file imports its own folder, a lower layer or a package", () => {
  for (const [path, specifier] of [
    ["src/block/device.ts", "./status.ts"],
    ["src/block/device.ts", "../util/assert.ts"],
    ["src/proto/nbd/target.ts", "../../block/device.ts"],
    ["src/proto/nvme-tcp/target.ts", "../nvme/queue.ts"],
    ["src/block/device.ts", "node:path"],
    ["src/bin/start.ts", "../../package.json"],
    ["src/control/scheduler.ts", "../telemetry/events.ts"],
    ["src/testing/pipe.ts", "fast-check"],
    ["src/index.ts", "./pipe/compose.ts"],
    ["src/util/assert.test.ts", "../pipe/compose.ts"],
    ["tools/tidy.ts", "../src/util/assert.ts"],
  ] as const) {
    deepStrictEqual(problems(path, `import { x } from "${specifier}";\n`), [], path);
  }
});

test("checkLayers refuses when a file imports a higher layer, a sibling or from outside", () => {
  for (const [path, specifier, words] of [
    ["src/util/assert.ts", "../block/device.ts", /util \(layer 0\) must not import src\/block/],
    ["src/devices/file.ts", "../shares/nbd.ts", /must not import src\/shares \(layer 5\)/],
    ["src/sys/libc.ts", "../telemetry/events.ts", /must not import src\/telemetry/],
    ["src/control/scheduler.ts", "../pool/allocator.ts", /control .* must not import src\/pool/],
    ["src/control/scheduler.ts", "../reactor/io.ts", /must not import src\/reactor/],
    ["src/engine/main.ts", "../testing/fake.ts", /must not import src\/testing/],
    ["src/engine/main.ts", "../index.ts", /must not import src\//],
    ["src/block/device.ts", "./device.test.ts", /is a test/],
    ["src/block/device.ts", "../../tools/tidy.ts", /must not import tools\/tidy.ts/],
    ["src/block/device.ts", "../misc/thing.ts", /src\/misc has no layer/],
    ["src/misc/thing.ts", "../util/assert.ts", /src\/misc has no layer/],
    ["src/block/device.ts", "fast-check", /for tests only/],
  ] as const) {
    const found = problems(path, `import type { X } from "${specifier}";\n`);
    strictEqual(found.length, 1, `${path} imports ${specifier}`);
    match(found[0] ?? "", words);
  }
});

test("checkLayers sees dynamic imports and worker entries when they go up", () => {
  strictEqual(problems("src/util/a.ts", 'await import("../pipe/b.ts");\n').length, 1);
  const worker = 'new Worker(new URL("../pipe/b.ts", import.meta.url));\n';
  strictEqual(problems("src/util/a.ts", worker).length, 1);
});

test("every folder of src has a layer when the tree is read", () => {
  const folders = readdirSync(join(ROOT, "src"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  deepStrictEqual(
    folders.filter((folder) => LAYER_BY_FOLDER[folder] === undefined),
    [],
  );
});

test("the tree obeys the law of layers when all of it is read", () => {
  const findings = readTree(ROOT).flatMap((source) => checkLayers(source));
  deepStrictEqual(findings.map(formatFinding), []);
});
